"""Losses by the name that a recipe gives them."""

from kcd_pipeline.config import DistillConfig, DistLossConfig, DkdLossConfig, PktLossConfig
from kcd_pipeline.losses.dist import Dist
from kcd_pipeline.losses.dkd import Dkd
from kcd_pipeline.losses.kd import Kd
from kcd_pipeline.losses.pkt import Pkt
from kcd_pipeline.losses.protocol import KnowledgeLoss


def make_loss(config: DistillConfig) -> KnowledgeLoss:
    """Return the loss over logits that `distill.loss` names, at `distill.temperature`; for `pkt` that is `kd`."""
    chosen, temperature = config.loss, config.temperature
    if isinstance(chosen, DkdLossConfig):
        return Dkd(temperature=temperature, alpha=chosen.alpha, beta=chosen.beta)
    if isinstance(chosen, DistLossConfig):
        return Dist(temperature=temperature, beta=chosen.beta, gamma=chosen.gamma)
    if isinstance(chosen, PktLossConfig):
        return Kd(temperature=temperature)
    return Kd(temperature=temperature, standardise=chosen.standardise)


def compares_batch(config: DistillConfig) -> bool:
    """Return whether a term of `distill.loss` compares the samples of a batch, and is no mean over samples."""
    chosen = config.loss
    if isinstance(chosen, DistLossConfig):
        return chosen.gamma > 0
    return isinstance(chosen, PktLossConfig) and chosen.beta > 0


def make_feature_loss(config: DistillConfig) -> tuple[float, Pkt] | None:
    """Return the weight and the loss over features, if `distill.loss` has such a term beside the one over logits."""
    return (config.loss.beta, Pkt()) if isinstance(config.loss, PktLossConfig) else None
