"""The optimizer, and the learning rate as a pure function of the epoch: resuming has no schedule to restore."""

import math

import torch
from torch import nn

from kcd_pipeline.config import OptimisationConfig

DEFAULT_MILESTONES = (5 / 8, 3 / 4, 7 / 8)  # fractions of all epochs: 150, 180 and 210 of the published 240


def make_optimizer(model: nn.Module, config: OptimisationConfig) -> torch.optim.Optimizer:
    """Return SGD over all parameters of `model`."""
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
    (Loshchilov & Hutter 2017), one step an epoch.
    """
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
    milestones = config.milestones or tuple(round(part * config.epochs) for part in DEFAULT_MILESTONES)
    return config.lr * config.gamma ** sum(epoch >= milestone for milestone in milestones)
