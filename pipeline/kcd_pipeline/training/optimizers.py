"""Optimizers by name, of torch and of timm, and which parameters their weight decay is for."""

import inspect
from typing import Any

import torch
from torch import nn

from kcd_pipeline.config import OptimisationConfig, TeacherConfig, did_you_mean
from kcd_pipeline.config.optimizers import TORCH_OPTIMIZERS
from kcd_pipeline.errors import UserError

KEYED = ("momentum", "nesterov", "weight_decay")  # arguments of optimizers that have a key of their own
GIVEN = ("params", "lr", *KEYED)


class NamedOptimizer:
    """An optimizer of torch or timm with the settings of a recipe, which makes one of any parameters.

    Of `momentum`, `nesterov` and `weight_decay` it is given those that its constructor takes.

    Raises
    ------
    UserError
        If its library is not installed, it takes no argument of a name that it is given, or a key other than at its
        default is of no use to it.
    """

    def __init__(self, config: OptimisationConfig) -> None:
        section = "teacher" if isinstance(config, TeacherConfig) else "distill"
        self.name, self.key = config.optimizer, f"{section}.optimizer"
        self._class = _class_of(config.optimizer, self.key)
        taken = list(inspect.signature(self._class).parameters)
        _require_taken(config, section, taken)
        settings = {key: getattr(config, key) for key in KEYED if key in taken}
        self.arguments: dict[str, Any] = {**settings, **_without_lists(config.optimizer_arguments)}

    def __call__(self, parameters: Any, *, lr: float) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer = self._class(parameters, lr=lr, **self.arguments)
        return made


def decay_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return the parameters of `model` as two groups, of which the second has no weight decay.

    Those are biases and the scales of norms, told by their having at most one dimension or the name `bias`, as in
    timm's `param_groups_weight_decay`, and what a model's own `no_weight_decay` names, such as timm's position
    embeddings.
    """
    named = [
        f"{place}.{name}" if place else name
        for place, module in model.named_modules()
        if callable(names := getattr(module, "no_weight_decay", None))
        for name in names()
    ]
    spared = {*named}
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for name, parameter in model.named_parameters():
        is_spared = parameter.ndim <= 1 or name.split(".")[-1] == "bias" or name in spared
        groups[is_spared].append(parameter)
    return [{"params": group, **more} for group, more in zip(groups, ({}, {"weight_decay": 0.0}), strict=True) if group]


def _class_of(name: str, key: str) -> Any:
    if name in TORCH_OPTIMIZERS:
        return getattr(torch.optim, TORCH_OPTIMIZERS[name])
    try:
        from timm.optim import get_optimizer_class  # an extra, which takes seconds to load
    except ImportError as error:
        raise UserError(
            f"{key}: {name} is an optimizer of timm, which is an extra. In the checkout of kcd-pipeline: pip install "
            f'-e ".[timm]"'
        ) from error
    return get_optimizer_class(name, bind_defaults=False)


def _require_taken(config: OptimisationConfig, section: str, taken: list[str]) -> None:
    """Raise UserError if arguments or keys are set that the optimizer, which has arguments `taken`, does not take."""
    free = [name for name in taken if name not in GIVEN]
    for name in config.optimizer_arguments:
        if name in GIVEN:
            raise UserError(
                f"{section}.optimizer_arguments has '{name}', which has a key of its own: {section}.{name}."
            )
        if name not in free:
            raise UserError(
                f"{section}.optimizer_arguments: {config.optimizer} has no argument '{name}'{did_you_mean(name, free)} "
                f"(it has: {', '.join(free)})"
            )
    for key in KEYED:
        found, default = getattr(config, key), OptimisationConfig.model_fields[key].default
        if key not in taken and found != default:
            raise UserError(
                f"{section}.{key} is {str(found).lower()}, but {config.optimizer} has no such argument. Leave it out, "
                f"or choose an optimizer that has it, such as sgd."
            )


def _without_lists(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with tuples in the place of lists, such as betas, which recipes cannot write."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
