"""Losses of the user's own: how they are called, and what is refused before a run begins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.own_parts import importable

from kcd_pipeline.config import DistillConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.losses import compares_batch, is_over_features, make_feature_loss, make_loss, try_own_loss

SOURCE = """
import torch
from torch.nn import functional as F

def hinton(student, teacher, labels, temperature, power=2):
    p = (teacher / temperature).softmax(dim=1)
    return -(p * (student / temperature).log_softmax(dim=1)).sum(dim=1) * temperature**power

def mean(student, teacher, labels):
    return F.mse_loss(student, teacher)

def centred(student, teacher, labels):
    return (student - student.mean(dim=0) - teacher).square().mean(dim=1)

def detached(student, teacher, labels):
    return (student.argmax(dim=1) != labels).float()

def broken(student, teacher, labels):
    return student[:, 700]

def infinite(student, teacher, labels):
    return (student - student.max()).sum(dim=1) / 0

def two(student, teacher):
    return student.sum(dim=1)

def dot(student, teacher, labels):
    return (student @ student.T - teacher @ teacher.T).square().mean()
"""
LABELS = torch.tensor([0, 2])
STUDENT, TEACHER = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 3.0]]), torch.tensor([[1.0, 3.0, 5.0], [0.0, 1.0, 2.0]])


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "my_losses.py").write_text(SOURCE)
    with importable(), importable(tmp_path):
        yield


def config(name: str, **keys: Any) -> DistillConfig:
    return DistillConfig.model_validate({"loss": {"name": name, **keys}, "temperature": 2})


def test_logits_are_matched_as_worked_out_by_hand() -> None:
    # centred: (-1, 0, 1) and (-2, 0, 2): (1 + 0 + 1) / 3 / 2; (-1, -1, 2) and (-1, 0, 1): (0 + 1 + 1) / 3 / 2
    loss = make_loss(config("own_parts.losses:match_logits"))(STUDENT, TEACHER, LABELS)
    assert loss.tolist() == pytest.approx([1 / 3, 1 / 3])


def test_distances_are_matched_as_worked_out_by_hand() -> None:
    # over their means 4 and 8, distances (3, 4, 5) and (8, 8, 8) are (3/4, 1, 5/4) and 1: (1/16 + 0 + 1/16) / 2 / 3
    student = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    teacher = 8 * torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) / 2**0.5
    made = make_feature_loss(config("own_parts.losses:match_distances", over="features", beta=3))
    assert made is not None
    weight, loss = made
    assert weight == 3
    assert float(loss(student, teacher, torch.zeros(3, dtype=torch.int64))) == pytest.approx(1 / 48)


def test_a_temperature_is_given_to_what_takes_one() -> None:
    # numpy: -sum softmax(t / 2) * log softmax(s / 2), times 2 to the power of 3
    p, q = (np.exp(z.numpy() / 2) for z in (TEACHER, STUDENT))
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    loss = make_loss(config("my_losses:hinton", arguments={"power": 3}))(STUDENT, TEACHER, LABELS)
    assert loss.tolist() == pytest.approx((-(p * np.log(q)).sum(axis=1) * 8).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "keys", "problem"),
    [
        ("detached", {}, "does not depend on the student in a way that has a gradient"),
        ("infinite", {}, "a loss or a gradient that is not finite"),
        ("centred", {}, r"depends on the other samples of its batch. .* distill.loss.compares_batch=true"),
        (
            "two",
            {},
            r"cannot be called as f\(student, teacher, labels, temperature=, \*\*arguments\) with no",
        ),
        ("mean", {"arguments": {"scale": 2}}, "got an unexpected keyword argument 'scale'"),
        ("hinton", {"arguments": {"temperature": 2}}, "distill.loss.arguments has 'temperature'"),
        ("gone", {}, "there is no 'my_losses:gone', which distill.loss.name names"),
    ],
)
def test_what_cannot_be_trained_with_is_refused_before_a_run(name: str, keys: Any, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        try_own_loss(config(f"my_losses:{name}", **keys), classes=3)


@pytest.mark.parametrize(
    ("name", "keys", "problem"),
    [
        ("mean", {}, r"returned shape \[\] on cpu, expected a tensor of shape \[4\] on cpu: the loss of each sample"),
        ("broken", {}, "failed on a batch of 4 samples: IndexError"),
        ("hinton", {"over": "features"}, r"expected a tensor of shape \[\] on cpu: one number for the batch"),
    ],
)
def test_what_fails_is_told_by_name(name: str, keys: Any, problem: str) -> None:
    with pytest.raises(FailedError, match=f"distill.loss.name: my_losses:{name} .*{problem}"):
        try_own_loss(config(f"my_losses:{name}", **keys), classes=3, features=(4, 4))


def test_a_loss_that_compares_samples_says_so_itself() -> None:
    told = config("my_losses:centred", compares_batch=True)
    try_own_loss(told, classes=3)
    assert compares_batch(told)
    assert not compares_batch(config("my_losses:hinton"))


def test_a_loss_over_features_stands_beside_one_over_logits() -> None:
    beside = config("my_losses:dot", over="features")
    try_own_loss(beside, classes=3, features=(4, 6))
    assert is_over_features(beside)
    assert compares_batch(beside)
    assert make_loss(beside)(STUDENT, STUDENT, LABELS).tolist() == [0, 0], "that of kd"


def test_the_state_of_random_generators_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    try_own_loss(config("my_losses:hinton"), classes=3)
    assert torch.equal(before, torch.random.get_rng_state())
