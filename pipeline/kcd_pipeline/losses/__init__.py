"""Losses of distillation, one module each: over logits behind one protocol, and `pkt` over features."""

from kcd_pipeline.losses.build import compares_batch, make_feature_loss, make_loss
from kcd_pipeline.losses.dist import Dist
from kcd_pipeline.losses.dkd import Dkd
from kcd_pipeline.losses.kd import Kd
from kcd_pipeline.losses.pkt import Pkt
from kcd_pipeline.losses.protocol import KnowledgeLoss
from kcd_pipeline.losses.weights import LossWeights, loss_weights

__all__ = [
    "Dist",
    "Dkd",
    "Kd",
    "KnowledgeLoss",
    "LossWeights",
    "Pkt",
    "compares_batch",
    "loss_weights",
    "make_feature_loss",
    "make_loss",
]
