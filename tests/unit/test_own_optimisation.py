"""Optimizers, schedules and metrics of the user's own: by hand, and what is refused because it would not resume."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from tests.support.own_parts import importable
from torch import nn

from kcd_pipeline.config import MetricConfig, OptimisationConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.training.optimisation import make_optimizer, try_optimisation
from kcd_pipeline.training.own_metrics import OwnMetrics, try_metrics
from kcd_pipeline.training.schedules import learning_rate

SOURCE = """
import torch

class Forgetful(torch.optim.SGD):
    def __init__(self, parameters, lr):
        super().__init__(parameters, lr)
        self.steps = 0

    def step(self, closure=None):
        self.steps += 1  # which no state dict has
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.sub_(parameter.grad * group["lr"] / self.steps)

def no_optimizer(parameters, lr):
    return [parameters]

def of_others(parameters, lr):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr)

def by_layer(parameters, lr):
    first, *others = parameters
    return torch.optim.SGD([{"params": [first], "lr": lr / 10}, {"params": others}], lr)

asked = 0
def counting(epoch, *, epochs, lr):
    global asked
    asked += 1
    return lr / asked

def negative(epoch, *, epochs, lr):
    return lr - epoch

def nothing(logits, labels):
    return float("nan")

def words(logits, labels):
    return "good"
"""


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "my_optimisation.py").write_text(SOURCE)
    with importable(), importable(tmp_path):
        yield


def config(**keys: Any) -> OptimisationConfig:
    return OptimisationConfig.model_validate({"epochs": 5, "lr": 0.1, **keys})


def test_lion_by_hand() -> None:
    # momentum 0 and gradient (2, -4): a step of lr times their signs, after a decay of 1 - 0.1 * 0.5
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = make_optimizer(
        model, config(optimizer="own_parts.optimisation:Lion", optimizer_arguments={"weight_decay": 0.5})
    )
    model.weight.grad = torch.tensor([[2.0, -4.0]])
    optimizer.step()
    assert model.weight.tolist() == [pytest.approx([0.95 - 0.1, 0.95 + 0.1])]
    # momentum is 0.01 * (2, -4); with gradient (-0.001, 0) the sign of 0.9 * momentum + 0.1 * gradient is (+, -)
    model.weight.grad = torch.tensor([[-0.001, 0.0]])
    optimizer.step()
    assert model.weight.tolist() == [pytest.approx([0.85 * 0.95 - 0.1, 1.05 * 0.95 + 0.1])]


@pytest.mark.parametrize("name", ["own_parts.optimisation:Lion", "torch.optim:AdamW", "torch.optim:RMSprop"])
def test_optimizers_whose_state_is_saved_pass_the_trial(name: str) -> None:
    before = torch.random.get_rng_state()
    try_optimisation(config(optimizer=name))
    assert torch.equal(before, torch.random.get_rng_state()), "initial weights do not depend on the trial"


def test_a_schedule_of_ones_own_by_hand() -> None:
    # 2 epochs of 5 to warm up; then lr * (1 + cos(pi * k / 3)) / 2: cos = 1, 1/2, -1/2
    own = config(schedule="own_parts.optimisation:warm_up_then_cosine", schedule_arguments={"warm_up": 2})
    try_optimisation(own)
    assert [learning_rate(own, epoch) for epoch in range(5)] == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.025])


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"optimizer": "my_optimisation:Forgetful"}, "takes another step once its state_dict was saved and restored"),
        ({"optimizer": "my_optimisation:no_optimizer"}, "returned a list, expected a torch.optim.Optimizer"),
        ({"optimizer": "my_optimisation:of_others"}, "holds other parameters"),
        (
            {"optimizer": "torch.optim:LBFGS"},
            "the optimizer of torch.optim:LBFGS cannot take a step",
        ),
        ({"optimizer": "torch.optim:AdamW", "optimizer_arguments": {"betas": 3}}, "cannot make an optimizer"),
        ({"optimizer": "torch.optim:AdamW", "optimizer_arguments": {"lr": 3}}, "distill.optimizer_arguments has 'lr'"),
        (
            {"schedule": "my_optimisation:counting"},
            "when it was asked again, so a run with it would not",
        ),
    ],
)
def test_what_would_not_resume_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        try_optimisation(config(**keys))


def test_a_rate_below_0_is_a_failure() -> None:
    with pytest.raises(FailedError, match=r"distill.schedule: my_optimisation:negative returned -0.9 for epoch 1 of 5"):
        try_optimisation(config(schedule="my_optimisation:negative"))


def test_metrics_agree_with_scikit_learn() -> None:
    logits, labels = torch.randn(60, 4, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 4
    names = ["own_parts.metrics:balanced_accuracy", "own_parts.metrics:top_k_accuracy"]
    configs = [MetricConfig(name=names[0]), MetricConfig(name=names[1], arguments={"k": 2})]
    try_metrics(configs, 4)
    assert OwnMetrics(configs)(logits, labels) == {
        names[0]: pytest.approx(balanced_accuracy_score(labels.numpy(), logits.argmax(dim=1).numpy())),
        f"{names[1]}(k=2)": pytest.approx(
            top_k_accuracy_score(labels.numpy(), logits.numpy(), k=2, labels=np.arange(4))
        ),
    }


def test_a_metric_that_is_not_finite_is_missing_and_one_that_is_no_number_a_failure() -> None:
    found = OwnMetrics([MetricConfig(name="my_optimisation:nothing")])(torch.zeros(2, 3), torch.tensor([0, 1]))
    assert found == {"my_optimisation:nothing": None}
    with pytest.raises(FailedError, match=r"distill.metrics: my_optimisation:words failed: ValueError"):
        try_metrics([MetricConfig(name="my_optimisation:words")], 3)
