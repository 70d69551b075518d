"""The optimizer, the rate that it is given before each step, and trials of both before a run begins."""

from collections.abc import Iterator
from itertools import repeat

import torch
from torch import nn

from kcd_pipeline.config import OptimisationConfig, TeacherConfig
from kcd_pipeline.own_parts import OwnPart, is_own_part
from kcd_pipeline.training.optimizers import NamedOptimizer, decay_groups
from kcd_pipeline.training.own_optimisation import OptimizerPart, optimizer_of, try_optimizer, try_schedule
from kcd_pipeline.training.schedules import changes_each_step, learning_rate, own_schedule


def make_optimizer(model: nn.Module, config: OptimisationConfig) -> torch.optim.Optimizer:
    """Return the optimizer that the config names, of all parameters of `model`.

    Raises
    ------
    UserError
        If it cannot be loaded or made.
    """
    parameters = list(model.parameters()) if config.decay_biases_and_norms else decay_groups(model)
    return optimizer_of(_part_of(config), parameters, config.lr)


def try_optimisation(config: OptimisationConfig) -> None:
    """Try the optimizer, and a schedule of the user's own, so that what cannot be resumed exactly is refused.

    Raises
    ------
    UserError, FailedError
        If one of them cannot be loaded, or cannot be trained with.
    """
    try_optimizer(_part_of(config), config.lr)
    schedule = own_schedule(config)
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


def _part_of(config: OptimisationConfig) -> OptimizerPart:
    """Return the optimizer that the config names, of the user's own or of a library, with its arguments."""
    if not is_own_part(config.optimizer):
        return NamedOptimizer(config)
    section = "teacher" if isinstance(config, TeacherConfig) else "distill"
    return OwnPart(config.optimizer, f"{section}.optimizer", config.optimizer_arguments)
