"""Value functions of the user's own: how they are called, and what is said where one returns something else."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.support.commands import run_command
from tests.support.recipes import small_recipe

from kcd_pipeline.condensation.values import Worth, make_worth
from kcd_pipeline.distillation.trials import _try_value
from kcd_pipeline.errors import FailedError, UserError

LOGITS, LABELS, TEACHER = torch.eye(3), torch.tensor([0, 1, 1]), torch.full((3, 3), 2.0)
SOURCE = """
import torch

def wrongness(logits, labels, teacher):
    return (logits.argmax(dim=1) != labels).float() + (0 if teacher is None else teacher[:, 0])

def of_double(logits, labels, teacher):
    return logits.double().sum(dim=1)

def of_the_batch(logits, labels, teacher):
    return logits.sum()

def by_numpy(logits, labels, teacher):
    return logits.numpy()[:, 0]

def careless(logits, labels, teacher):
    logits.zero_(), labels.zero_(), teacher.zero_()
    return logits[:, 0]

def random(logits, labels, teacher):
    return torch.rand(len(logits))

def broken(logits, labels, teacher):
    return logits[:, 700]

number = 3
"""


@pytest.fixture(autouse=True)
def _own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_values.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("my_values", None)


def own(name: str, method: str = "kcd") -> Worth:
    return make_worth(
        small_recipe(condense={"value": f"my_values:{name}"}, distill={"epochs": 2, "method": method}),
    )


def test_it_is_called_with_logits_labels_and_the_teachers_rows() -> None:
    worth = own("wrongness")
    assert worth.name == "my_values:wrongness"
    assert worth(LOGITS, LABELS, TEACHER).tolist() == [2, 2, 3]


def test_without_a_teacher_it_is_given_none() -> None:
    assert own("wrongness", "none")(LOGITS, LABELS, None).tolist() == [0, 0, 1]


def test_it_cannot_change_what_the_loss_is_computed_from() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(logits, LABELS) + (logits * TEACHER).sum()
    assert own("careless")(logits, LABELS, TEACHER).tolist() == [0, 0, 0]
    loss.backward()
    assert (LABELS.tolist(), TEACHER.tolist(), logits.tolist()) == ([0, 1, 1], [[2.0] * 3] * 3, torch.eye(3).tolist())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("of_double", r"returned torch.float64 of shape \[3\] on cpu, expected torch.float32 of shape \[3\] on cpu"),
        ("of_the_batch", r"returned torch.float32 of shape \[\] on cpu, expected .*: one number for each sample"),
        ("by_numpy", r"returned a ndarray, expected torch.float32 of shape \[3\]"),
        ("broken", r"failed on a batch of 3 samples: IndexError: .* logits \[3, 3\], labels \[3\] and teacher"),
    ],
)
def test_what_it_returns_must_be_a_number_for_each_sample(name: str, says: str) -> None:
    with pytest.raises(FailedError, match=rf"condense\.value: my_values:{name} {says}"):
        own(name)(LOGITS, LABELS, TEACHER)


@pytest.mark.parametrize(("name", "says"), [("missing", "has no attribute 'missing'"), ("number", "is a int")])
def test_one_that_is_not_there_is_refused_when_the_run_is_prepared(name: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"condense\.value.*{says}"):
        own(name)


# --- before a run begins ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["of_the_batch", "broken", "missing"])
def test_one_that_cannot_be_used_is_refused_before_a_folder_is_made(tmp_path: Path, name: str) -> None:
    ended = run_command("distill", "digits", f"--set=condense.value=my_values:{name}", "--set=run.dir=run")
    assert ended.exit_code == (2 if name == "missing" else 1)
    assert "condense.value" in ended.output
    assert "Traceback" not in ended.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["margin", "aum"])
def test_values_that_compare_two_classes_are_refused_where_there_is_one(value: str) -> None:
    with pytest.raises(UserError, match=rf"condense\.value: {value} compares the logits of two classes, .* has 1"):
        _try_value(small_recipe(condense={"value": value}), 1)


@pytest.mark.parametrize("method", ["kcd", "none"])
def test_a_trial_draws_nothing_from_the_generator_that_makes_the_student(method: str) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    _try_value(small_recipe(condense={"value": "my_values:random"}, distill={"epochs": 2, "method": method}), 4)
    assert torch.equal(torch.get_rng_state(), before)
