"""Optimizers and schedules, tried before a run begins: what would not resume exactly is refused."""

import copy
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.own_parts import OwnPart

SHAPES = ((8, 3, 3, 3), (8, 8), (8,))  # of a convolution, a linear layer and a bias


class OptimizerPart(Protocol):
    """An optimizer with the arguments of its recipe: one of the user's own, or one that has a name."""

    name: str
    key: str
    arguments: dict[str, Any]

    def __call__(self, parameters: Any, *, lr: float) -> Any:
        """Return the optimizer of `parameters`."""
        ...


def optimizer_of(
    part: OptimizerPart, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float
) -> torch.optim.Optimizer:
    """Return the optimizer that `part` makes of `parameters`, or of groups of them.

    Raises
    ------
    UserError
        If it raises something, returns no optimizer, or one of other parameters.
    """
    given = list(parameters)
    try:
        optimizer = part(given, lr=lr)
    except (Exception, SystemExit) as error:  # code of the user's may raise anything
        raise UserError(
            f"{part.key}: {part.name} cannot make an optimizer with the arguments {part.arguments}: "
            f"{type(error).__name__}: {error}."
        ) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(
            f"{part.key}: {part.name} returned a {type(optimizer).__name__}, expected a torch.optim.Optimizer."
        )
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    known = [one for item in given for one in (item["params"] if isinstance(item, Mapping) else [item])]
    if not held or held - {id(parameter) for parameter in known}:
        raise UserError(
            f"{part.key}: the optimizer of {part.name} holds {'other' if held else 'no'} parameters, expected those "
            f"that it was given, or some of them."
        )
    return optimizer


def try_optimizer(part: OptimizerPart, lr: float) -> None:
    """Take steps with the optimizer that `part` makes, and require that its state can be saved and restored.

    Two steps must come to the same numbers as one step, a state dict through a file, and one more step.

    Raises
    ------
    UserError
        If it cannot take a step, or goes on otherwise after its state was restored.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights must not depend on what it draws
        torch.manual_seed(0)
        first = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
        gradients = [[torch.randn(shape) for shape in SHAPES] for _ in range(2)]
        optimizer = optimizer_of(part, first, lr)
        _step(part, optimizer, first, gradients[0], seed=1)
        second = copy.deepcopy(first)
        restored = optimizer_of(part, second, lr)
        try:
            saved = io.BytesIO()
            torch.save(optimizer.state_dict(), saved)
            saved.seek(0)
            restored.load_state_dict(torch.load(saved, weights_only=False))
        except Exception as error:
            raise UserError(
                f"{part.key}: the state of {part.name} cannot be saved and restored: {type(error).__name__}: {error}. "
                f"A run with it could not be resumed."
            ) from error
        for one, parameters in ((optimizer, first), (restored, second)):
            _step(part, one, parameters, gradients[1], seed=2)
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise UserError(
            f"{part.key}: {part.name} takes another step once its state_dict was saved and restored, so a run with it "
            f"would not resume exactly. Keep all that a step depends on in optimizer.state and param_groups."
        )


def _step(
    part: OptimizerPart,
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    gradients: list[Tensor],
    *,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    try:
        optimizer.step()
        optimizer.zero_grad()
    except Exception as error:
        raise UserError(
            f"{part.key}: the optimizer of {part.name} cannot take a step: {type(error).__name__}: {error}. It is "
            f"called as step(), without a closure."
        ) from error


def own_rate(part: OwnPart, progress: float, *, epochs: int, lr: float) -> float:
    """Return the learning rate that `part` has at `progress`: an epoch (0-based), or a fraction beyond it.

    Raises
    ------
    FailedError
        If it raises something, or returns no finite number of at least 0.
    """
    try:
        rate = float(part(progress, epochs=epochs, lr=lr))
    except Exception as error:  # code of the user's may raise anything
        raise FailedError(
            f"{part.key}: {part.name} failed for epoch {progress:g} of {epochs}: {type(error).__name__}: {error}."
        ) from error
    if not (math.isfinite(rate) and rate >= 0):
        raise FailedError(
            f"{part.key}: {part.name} returned {rate} for epoch {progress:g} of {epochs}, expected a learning rate of "
            f"at least 0."
        )
    return rate


def try_schedule(part: OwnPart, *, epochs: int, lr: float, between: bool) -> None:
    """Require a learning rate for each epoch, whatever the order in which they are asked for.

    Parameters
    ----------
    between
        Require one in the middle of each epoch, too.

    Raises
    ------
    UserError
        If the rate of an epoch depends on the epochs that were asked for before it.
    FailedError
        If an epoch has no rate.
    """
    asked: list[float] = [*range(epochs), *(epoch + 0.5 for epoch in range(epochs) if between)]
    forth = [own_rate(part, progress, epochs=epochs, lr=lr) for progress in asked]
    back = [own_rate(part, progress, epochs=epochs, lr=lr) for progress in reversed(asked)][::-1]
    for progress, one, other in zip(asked, forth, back, strict=True):
        if one != other:
            raise UserError(
                f"{part.key}: {part.name} returned {one:g} for epoch {progress:g}, and {other:g} when it was asked "
                f"again, so a run with it would not resume exactly. The rate must depend on epoch, epochs, lr and the "
                f"arguments alone."
            )
