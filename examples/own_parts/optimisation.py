"""An optimizer and a schedule."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class Lion(torch.optim.Optimizer):
    """Steps by the sign of a momentum: Chen et al., "Symbolic discovery of optimization algorithms" (NeurIPS 2023).

    All that a step depends on is in `state` and `param_groups`, which checkpoints hold.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "betas": (0.9, 0.99), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is ever given
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                first, second = group["betas"]
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                update = torch.lerp(parameter.grad, momentum, first).sign()
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])
                momentum.lerp_(parameter.grad, 1 - second)


def warm_up_then_cosine(epoch: int, *, epochs: int, lr: float, warm_up: int = 1) -> float:
    """Return a rate that rises to `lr` over the first epochs, and falls along a cosine towards 0 over the others."""
    if epoch < warm_up:
        return lr * (epoch + 1) / warm_up
    return lr * (1 + math.cos(math.pi * (epoch - warm_up) / max(epochs - warm_up, 1))) / 2
