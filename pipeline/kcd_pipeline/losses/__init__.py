"""Losses, one module each: with labels, over logits behind one protocol, `pkt` over features, the user's own."""

from kcd_pipeline.losses.build import (
    compares_batch,
    is_over_features,
    key_of_comparison,
    make_feature_loss,
    make_loss,
    try_own_loss,
)
from kcd_pipeline.losses.cross_entropy import PLAIN, CrossEntropy, make_cross_entropy
from kcd_pipeline.losses.dist import Dist
from kcd_pipeline.losses.dkd import Dkd
from kcd_pipeline.losses.kd import Kd
from kcd_pipeline.losses.pkt import Pkt
from kcd_pipeline.losses.protocol import KnowledgeLoss
from kcd_pipeline.losses.weights import LossWeights, loss_weights

__all__ = [
    "PLAIN",
    "CrossEntropy",
    "Dist",
    "Dkd",
    "Kd",
    "KnowledgeLoss",
    "LossWeights",
    "Pkt",
    "compares_batch",
    "is_over_features",
    "key_of_comparison",
    "loss_weights",
    "make_cross_entropy",
    "make_feature_loss",
    "make_loss",
    "try_own_loss",
]
