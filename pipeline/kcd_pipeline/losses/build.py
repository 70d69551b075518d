"""Losses by the name that a recipe gives them."""

from collections.abc import Callable

from torch import Tensor

from kcd_pipeline.config import (
    DistillConfig,
    DistLossConfig,
    DkdLossConfig,
    KdLossConfig,
    OwnLossConfig,
    PktLossConfig,
)
from kcd_pipeline.losses.dist import Dist
from kcd_pipeline.losses.dkd import Dkd
from kcd_pipeline.losses.kd import Kd
from kcd_pipeline.losses.own import OwnLoss
from kcd_pipeline.losses.pkt import Pkt
from kcd_pipeline.losses.protocol import KnowledgeLoss
from kcd_pipeline.own_parts import OwnPart

FeatureLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (student[B, E], teacher[B, D], labels[B]) -> scalar


def make_loss(config: DistillConfig) -> KnowledgeLoss:
    """Return the loss over logits that `distill.loss` names, at `distill.temperature`; `kd` for one over features.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded.
    """
    chosen, temperature = config.loss, config.temperature
    if isinstance(chosen, DkdLossConfig):
        return Dkd(temperature=temperature, alpha=chosen.alpha, beta=chosen.beta)
    if isinstance(chosen, DistLossConfig):
        return Dist(temperature=temperature, beta=chosen.beta, gamma=chosen.gamma)
    if is_over_features(config):
        return Kd(temperature=temperature)
    if isinstance(chosen, OwnLossConfig):
        return _own(chosen, temperature, each=True)
    return Kd(temperature=temperature, standardise=isinstance(chosen, KdLossConfig) and chosen.standardise)


def compares_batch(config: DistillConfig) -> bool:
    """Return whether a term of `distill.loss` compares the samples of a batch, and is no mean over samples."""
    chosen = config.loss
    if isinstance(chosen, DistLossConfig):
        return chosen.gamma > 0
    if isinstance(chosen, PktLossConfig):
        return chosen.beta > 0
    if isinstance(chosen, OwnLossConfig):
        return chosen.beta > 0 if chosen.over == "features" else chosen.compares_batch
    return False


def key_of_comparison(config: DistillConfig) -> str:
    """Return the key of `distill.loss`, and the value of it, by which a loss compares no samples any more."""
    if isinstance(config.loss, OwnLossConfig) and config.loss.over == "logits":
        return "compares_batch=false, if it need not"
    return "gamma=0" if isinstance(config.loss, DistLossConfig) else "beta=0"


def is_over_features(config: DistillConfig) -> bool:
    """Return whether `distill.loss` has a term over features, beside the one over logits."""
    return isinstance(config.loss, PktLossConfig) or (
        isinstance(config.loss, OwnLossConfig) and config.loss.over == "features"
    )


def make_feature_loss(config: DistillConfig) -> tuple[float, FeatureLoss] | None:
    """Return the weight and the loss over features, if `distill.loss` has such a term beside the one over logits.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded.
    """
    chosen = config.loss
    if isinstance(chosen, PktLossConfig):
        return chosen.beta, Pkt()
    if isinstance(chosen, OwnLossConfig) and chosen.over == "features":
        return chosen.beta, _own(chosen, config.temperature, each=False)
    return None


def try_own_loss(config: DistillConfig, *, classes: int, features: tuple[int, int] | None = None) -> None:
    """Try a loss of the user's own on a small batch; do nothing for any other.

    Parameters
    ----------
    classes
        C.
    features
        E and D, the features of student and teacher; None while they are not known: only one over logits is tried.

    Raises
    ------
    UserError, FailedError
        If it cannot be trained with.
    """
    chosen = config.loss
    if not isinstance(chosen, OwnLossConfig):
        return
    if chosen.over == "logits":
        loss = _own(chosen, config.temperature, each=True)
        loss.try_out(student=classes, teacher=classes, classes=classes, compares_batch=chosen.compares_batch)
    elif features is not None:
        loss = _own(chosen, config.temperature, each=False)
        loss.try_out(student=features[0], teacher=features[1], classes=classes, compares_batch=True)


def _own(chosen: OwnLossConfig, temperature: float, *, each: bool) -> OwnLoss:
    return OwnLoss(OwnPart(chosen.name, "distill.loss.name", chosen.arguments), temperature=temperature, each=each)
