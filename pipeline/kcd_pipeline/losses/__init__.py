"""Losses of distillation over logits, each its own module behind one protocol."""

from kcd_pipeline.config import DistillConfig
from kcd_pipeline.config.losses import DistLossConfig, DkdLossConfig, PktLossConfig
from kcd_pipeline.losses.dist import Dist
from kcd_pipeline.losses.dkd import Dkd
from kcd_pipeline.losses.entropy import prediction_entropy
from kcd_pipeline.losses.kd import Kd
from kcd_pipeline.losses.pkt import Pkt
from kcd_pipeline.losses.protocol import KnowledgeLoss

__all__ = ["Dist", "Dkd", "Kd", "KnowledgeLoss", "Pkt", "make_feature_loss", "make_loss", "prediction_entropy"]


def make_feature_loss(config: DistillConfig) -> tuple[float, Pkt] | None:
    """The weight and the loss over features that `distill.loss` asks for beside the one over logits, if any."""
    return (config.loss.beta, Pkt()) if isinstance(config.loss, PktLossConfig) else None


def make_loss(config: DistillConfig) -> KnowledgeLoss:
    """The loss that `distill.loss` names, at the temperature of `distill`; of `pkt` the part over logits, `kd`."""
    chosen, temperature = config.loss, config.temperature
    if isinstance(chosen, DkdLossConfig):
        return Dkd(temperature=temperature, alpha=chosen.alpha, beta=chosen.beta)
    if isinstance(chosen, DistLossConfig):
        return Dist(temperature=temperature, beta=chosen.beta, gamma=chosen.gamma)
    if isinstance(chosen, PktLossConfig):
        return Kd(temperature=temperature)
    return Kd(temperature=temperature, standardise=chosen.standardise)
