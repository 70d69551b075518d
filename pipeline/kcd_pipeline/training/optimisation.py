"""The optimizer, the rate that it is given before each step, and trials of both before a run begins."""

from collections.abc import Iterator
from itertools import repeat

import torch
from torch import nn

from kcd_pipeline.config import OptimisationConfig, TeacherConfig
from kcd_pipeline.own_parts import OwnPart, is_own_part
from kcd_pipeline.training.own_optimisation import own_optimizer, try_optimizer, try_schedule
from kcd_pipeline.training.schedules import changes_each_step, learning_rate, own_schedule


def make_optimizer(model: nn.Module, config: OptimisationConfig) -> torch.optim.Optimizer:
    """Return the optimizer of all parameters of `model` that the config names.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded or made.
    """
    part = _own_optimizer(config)
    if part is not None:
        return own_optimizer(part, model.parameters(), config.lr)
    return torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )


def try_own_optimisation(config: OptimisationConfig) -> None:
    """Try an optimizer and a schedule of the user's own, so that one that cannot be resumed exactly is refused.

    Raises
    ------
    UserError, FailedError
        If one of them cannot be loaded, or cannot be trained with.
    """
    optimizer, schedule = _own_optimizer(config), own_schedule(config)
    if optimizer is not None:
        try_optimizer(optimizer, config.lr)
    if schedule is not None:
        try_schedule(schedule, epochs=config.epochs, lr=config.lr, between=changes_each_step(config))


class Rates:
    """The learning rates of steps, as numbers of the host: nothing waits for the device.

    An optimizer of the user's own may give layers other rates: they keep their ratios to the rate of the schedule.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: OptimisationConfig) -> None:
        self._config = config
        self._factors = [group["lr"] / config.lr for group in optimizer.param_groups]

    def of_epoch(self, epoch: int, steps: int) -> Iterator[float]:
        """Yield the rate of each step of `epoch` (0-based), which has so many."""
        if not changes_each_step(self._config):
            yield from repeat(learning_rate(self._config, epoch), steps)
            return
        for step in range(steps):
            yield learning_rate(self._config, epoch + step / steps)

    def set(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        """Set the rate of the next step of `optimizer`."""
        for group, factor in zip(optimizer.param_groups, self._factors, strict=True):
            group["lr"] = rate * factor


def _own_optimizer(config: OptimisationConfig) -> OwnPart | None:
    """Return the optimizer of the user's own that the config names; None if it names none."""
    if not is_own_part(config.optimizer):
        return None
    section = "teacher" if isinstance(config, TeacherConfig) else "distill"
    return OwnPart(config.optimizer, f"{section}.optimizer", config.optimizer_arguments)
