"""Every value function against numbers worked out on paper, and against numpy and scipy on random logits.

Two samples of three classes; the student's logits are (ln 2, 0, 0) on both, so p_S = (1/2, 1/4, 1/4).

    sample   label   teacher's logits   p_T
    a        1       (ln 6, ln 3, 0)    (0.6, 0.3, 0.1)
    b        0       (0, ln 3, ln 6)    (0.1, 0.3, 0.6)

    entropy          both: 1/2 ln 2 + 2 * 1/4 ln 4 = 3/2 ln 2
    loss             a: -ln 1/4 = 2 ln 2; b: -ln 1/2 = ln 2
    gap, T = 1       a: 0.6 ln 1.2 + 0.3 ln 1.2 + 0.1 ln 0.4 = 0.0724603279
                     b: 0.1 ln 0.2 + 0.3 ln 1.2 + 0.6 ln 2.4 = 0.4190339182
    margin           both: 1 - (1/2 - 1/4) = 3/4
    el2n             a: |(1/2, -3/4, 1/4)| = sqrt(14)/4; b: |(-1/2, 1/4, 1/4)| = sqrt(6)/4
    forgetting       a: wrong, 1; b: right, 0
    aum              a: ln 2 - 0; b: 0 - ln 2
    disagreement     a: both say class 0, 0; b: 0 and 2, 1
    teacher_entropy  both: -(0.6 ln 0.6 + 0.3 ln 0.3 + 0.1 ln 0.1) = 0.8979457249
    excess           a: 2 ln 2 + ln 0.3 = ln 1.2; b: ln 2 + ln 0.1 = -ln 5
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats
from tests.support.recipes import small_recipe

from kcd_pipeline.condensation.values import Worth, make_worth
from kcd_pipeline.config import VALUE_NAMES

LN2 = math.log(2)
STUDENT = [[LN2, 0.0, 0.0], [LN2, 0.0, 0.0]]
TEACHER = [[math.log(6), math.log(3), 0.0], [0.0, math.log(3), math.log(6)]]
LABELS = [1, 0]
BY_HAND = {
    "entropy": [1.5 * LN2, 1.5 * LN2],
    "loss": [2 * LN2, LN2],
    "gap": [0.0724603279, 0.4190339182],
    "margin": [0.75, 0.75],
    "el2n": [math.sqrt(14) / 4, math.sqrt(6) / 4],
    "forgetting": [1.0, 0.0],
    "aum": [LN2, -LN2],
    "disagreement": [0.0, 1.0],
    "teacher_entropy": [0.8979457249, 0.8979457249],
    "excess": [math.log(1.2), -math.log(5)],
}
NEED_TEACHER = {"gap", "disagreement", "teacher_entropy", "excess"}


def value_function(name: str, *, method: str = "kcd", temperature: float = 1.0) -> Worth:
    return make_worth(
        small_recipe(condense={"value": name}, distill={"epochs": 2, "method": method, "temperature": temperature})
    )


@pytest.mark.parametrize("name", VALUE_NAMES)
def test_every_value_is_the_number_worked_out_on_paper(name: str) -> None:
    worth = value_function(name)
    found = worth(torch.tensor(STUDENT), torch.tensor(LABELS), torch.tensor(TEACHER))
    assert (worth.name, worth.needs_teacher) == (name, name in NEED_TEACHER)
    assert (found.dtype, found.shape) == (torch.float32, (2,))
    np.testing.assert_allclose(found.numpy(), BY_HAND[name], rtol=1e-6)


def by_numpy(name: str, z: NDArray[np.float64], y: NDArray[np.int64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the worths of logits `z[B, C]` with labels `y[B]` and teacher's logits `t[B, C]`, in float64, T = 4."""
    rows, p, q = np.arange(len(z)), special.softmax(z, axis=1), special.softmax(t, axis=1)
    at_t = stats.entropy(special.softmax(t / 4, axis=1), special.softmax(z / 4, axis=1), axis=1)
    largest = np.sort(p, axis=1)
    others = np.where(np.arange(z.shape[1]) == y[:, None], -np.inf, z).max(axis=1)
    return {
        "entropy": stats.entropy(p, axis=1),
        "loss": -np.log(p[rows, y]),
        "gap": at_t,
        "margin": 1 - (largest[:, -1] - largest[:, -2]),
        "el2n": np.linalg.norm(p - np.eye(z.shape[1])[y], axis=1),
        "forgetting": (z.argmax(axis=1) != y).astype(float),
        "aum": others - z[rows, y],
        "disagreement": (z.argmax(axis=1) != t.argmax(axis=1)).astype(float),
        "teacher_entropy": stats.entropy(q, axis=1),
        "excess": np.log(q[rows, y]) - np.log(p[rows, y]),
    }[name]


@pytest.mark.parametrize("name", VALUE_NAMES)
def test_every_value_is_numpys_on_random_logits(name: str) -> None:
    random = np.random.default_rng(0)
    z, t = (random.normal(scale=3, size=(200, 10)).astype(np.float32) for _ in range(2))
    y = random.integers(0, 10, 200)
    found = value_function(name, temperature=4)(torch.from_numpy(z), torch.from_numpy(y), torch.from_numpy(t))
    expected = by_numpy(name, z.astype(np.float64), y, t.astype(np.float64))
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", VALUE_NAMES)
def test_no_value_keeps_a_graph_or_changes_what_the_loss_needs(name: str) -> None:
    logits = torch.tensor(STUDENT, requires_grad=True)
    labels, teacher = torch.tensor(LABELS), torch.tensor(TEACHER)
    found = value_function(name)(logits * 1, labels, teacher)
    assert not found.requires_grad
    assert (labels.tolist(), teacher.tolist()) == (LABELS, torch.tensor(TEACHER).tolist())
    loss = torch.nn.functional.cross_entropy(logits, labels)
    value_function(name)(logits, labels, teacher)
    loss.backward()


@pytest.mark.parametrize("name", VALUE_NAMES)
def test_without_a_teacher_the_entropy_is_recorded_where_the_value_needs_one(name: str) -> None:
    worth = value_function(name, method="none")
    assert worth.name == ("entropy" if name in NEED_TEACHER else name)
    found = worth(torch.tensor(STUDENT), torch.tensor(LABELS), None)
    np.testing.assert_allclose(found.numpy(), BY_HAND[worth.name], rtol=1e-6)


def test_a_teachers_value_refuses_to_be_computed_without_one() -> None:
    with pytest.raises(ValueError, match="needs the teacher's rows"):
        value_function("gap")(torch.tensor(STUDENT), torch.tensor(LABELS), None)
