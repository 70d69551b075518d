"""Losses of distillation, one module each: over logits behind one protocol, and `pkt` over features."""

from kcd_pipeline.losses.build import make_feature_loss, make_loss
from kcd_pipeline.losses.dist import Dist
from kcd_pipeline.losses.dkd import Dkd
from kcd_pipeline.losses.kd import Kd
from kcd_pipeline.losses.pkt import Pkt
from kcd_pipeline.losses.protocol import KnowledgeLoss

__all__ = ["Dist", "Dkd", "Kd", "KnowledgeLoss", "Pkt", "make_feature_loss", "make_loss"]
