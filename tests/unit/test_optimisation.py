"""The learning rate of each epoch, worked out by hand, and the settings of the optimizer."""

import math
from typing import Any

import pytest
import torch

from kcd_pipeline.config import OptimisationConfig
from kcd_pipeline.training.optimisation import make_optimizer
from kcd_pipeline.training.schedules import learning_rate


def rates(**settings: Any) -> list[float]:
    config = OptimisationConfig.model_validate(settings)
    return [learning_rate(config, epoch) for epoch in range(config.epochs)]


def test_by_default_the_rate_falls_tenfold_at_150_180_and_210_of_240() -> None:
    found = rates()
    assert found[0] == found[149] == 0.05
    assert found[150] == found[179] == pytest.approx(0.005)
    assert found[180] == found[209] == pytest.approx(0.0005)
    assert found[210] == found[239] == pytest.approx(0.00005)


def test_default_milestones_scale_with_the_epochs() -> None:
    # 5/8, 3/4 and 7/8 of 16 are 10, 12 and 14
    assert [round(math.log10(0.05 / rate)) for rate in rates(epochs=16)] == [0] * 10 + [1] * 2 + [2] * 2 + [3] * 2


def test_milestones_and_gamma_that_are_given_are_used() -> None:
    assert rates(epochs=5, lr=1, milestones=(1, 4), gamma=0.5) == [1, 0.5, 0.5, 0.5, 0.25]


def test_cosine_by_hand() -> None:
    # (1 + cos(pi * e / 4)) / 2 for e = 0..3: cos = 1, 0.70710678, 0, -0.70710678
    found = rates(epochs=4, lr=0.2, schedule="cosine")
    assert found == pytest.approx([0.2, 0.17071068, 0.1, 0.02928932])


def test_the_optimizer_is_sgd_with_the_recipes_settings() -> None:
    model = torch.nn.Linear(2, 3)
    config = OptimisationConfig(lr=0.3, momentum=0.8, nesterov=True, weight_decay=1e-3)
    optimizer = make_optimizer(model, config)
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert group["params"] == list(model.parameters())
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.3, 0.8, True, 1e-3)
