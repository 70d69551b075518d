"""The optimizer, and the learning rate as a pure function of the epoch: resuming has no schedule to restore."""

import math

import torch
from torch import nn

from kcd_pipeline.config import OptimisationConfig, TeacherConfig
from kcd_pipeline.own_parts import OwnPart, is_own_part
from kcd_pipeline.training.own_optimisation import own_optimizer, own_rate, try_optimizer, try_schedule

DEFAULT_MILESTONES = (5 / 8, 3 / 4, 7 / 8)  # fractions of all epochs: 150, 180 and 210 of the published 240


def make_optimizer(model: nn.Module, config: OptimisationConfig) -> torch.optim.Optimizer:
    """Return the optimizer of all parameters of `model` that the config names.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded or made.
    """
    part = _own(config, "optimizer")
    if part is not None:
        return own_optimizer(part, model.parameters(), config.lr)
    return torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )


def learning_rate(config: OptimisationConfig, epoch: int) -> float:
    """Return the learning rate of `epoch` (0-based).

    `milestones`: `lr * gamma^k` after k milestones. `cosine`: `lr * (1 + cos(pi * epoch / epochs)) / 2`
    (Loshchilov & Hutter 2017), one step an epoch. A schedule of the user's own has what it returns.
    """
    part = _own(config, "schedule")
    if part is not None:
        return own_rate(part, epoch, epochs=config.epochs, lr=config.lr)
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
    milestones = config.milestones or tuple(round(part * config.epochs) for part in DEFAULT_MILESTONES)
    return config.lr * config.gamma ** sum(epoch >= milestone for milestone in milestones)


def try_own_optimisation(config: OptimisationConfig) -> None:
    """Try an optimizer and a schedule of the user's own, so that one that cannot be resumed exactly is refused.

    Raises
    ------
    UserError, FailedError
        If one of them cannot be loaded, or cannot be trained with.
    """
    optimizer, schedule = _own(config, "optimizer"), _own(config, "schedule")
    if optimizer is not None:
        try_optimizer(optimizer, config.lr)
    if schedule is not None:
        try_schedule(schedule, epochs=config.epochs, lr=config.lr)


def _own(config: OptimisationConfig, key: str) -> OwnPart | None:
    """Return the part of the user's own that `key` (optimizer, schedule) names; None if it names none."""
    name, section = getattr(config, key), "teacher" if isinstance(config, TeacherConfig) else "distill"
    if not is_own_part(name):
        return None
    return OwnPart(name, f"{section}.{key}", getattr(config, f"{key}_arguments"))
