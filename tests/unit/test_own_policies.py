"""Policies of the user's own: how they are called, and how what they do wrong is told."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kcd_pipeline.condensation import Choice, Situation, condense
from kcd_pipeline.config import CondenseConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_stores import CorruptStoreError, Plan, ValueStore, keep_all

N = 4


@pytest.fixture
def values(tmp_path: Path) -> ValueStore:
    store = ValueStore.create(tmp_path / "values.zarr", epochs=2, samples=N)
    value, frequency = np.array([0.1, 0.4, 0.3, 0.2]), np.array([1, 1, 1, 2], np.int32)
    store.write(0, value, frequency, value.astype(np.float32))
    return store


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's."""
    made = ModuleType("my_policies")
    monkeypatch.setitem(sys.modules, "my_policies", made)
    return made


def plan_by(module: ModuleType, values: ValueStore, policy: Any, **condense_keys: Any) -> Plan:
    module.choose = policy  # type: ignore[attr-defined]
    config = CondenseConfig(policy="my_policies:choose", interval=1, keep_ratio=0.5, **condense_keys)
    labels = np.array([0, 0, 1, 1])
    return condense(values, before=keep_all(N), stage=1, epochs=2, config=config, seed=3, labels=labels)


def test_it_is_given_the_situation_and_its_choice_becomes_the_plan(module: ModuleType, values: ValueStore) -> None:
    def choose(here: Situation) -> Choice:
        assert (here.stage, here.opens, here.epochs, here.keep, here.samples, here.seed) == (1, 1, 2, 2, N, 3)
        assert here.labels is not None
        assert here.labels.tolist() == [0, 0, 1, 1]
        assert here.before.kept.tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(here.value(), [0.1, 0.4, 0.3, 0.2])
        np.testing.assert_array_equal(here.frequency(), [1, 1, 1, 2])
        np.testing.assert_array_equal(here.latest(), np.array([0.1, 0.4, 0.3, 0.2], np.float32))
        np.testing.assert_allclose(here.scores().compute(), [0.1, 0.4, 0.3, 0.2 * 2**0.03])
        return Choice(
            kept=np.array([1, 3]),
            weight=np.array([0.5, 2], np.float32),
            partner=np.array([-1, 0]),
            epsilon=np.array([0, 0.25], np.float32),
            facts={"mean": 0.25, "kept": 99},
        )

    plan = plan_by(module, values, choose)
    assert plan.kept.tolist() == [1, 3]
    assert plan.weight.tolist() == [0.5, 2]
    assert plan.partner.tolist() == [-1, 0]
    assert plan.epsilon.tolist() == [0, 0.25]
    assert plan.facts["mean"] == 0.25
    assert plan.facts["kept"] == 2, "counts are counted"
    assert plan_by(module, values, choose, perturb="off").partner.tolist() == [-1, -1], "nothing is blended then"


def chosen(**arrays: Any) -> Any:
    return lambda here: Choice(**{"kept": np.array([1, 3]), **arrays})


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (lambda here: [1, 3], "it returned a list"),
        (lambda here: 1 / 0, "it raised ZeroDivisionError: division by zero"),
        (lambda here: len(here.stage), "it raised TypeError"),
        (chosen(kept=np.array([], np.int64)), "it raised ValueError: kept is empty"),
        (chosen(kept=np.array([3, 1])), "it raised ValueError: kept is not ascending"),
        (chosen(weight=np.ones(3, np.float32)), r"weight is \[3\] float32, expected an array \[2\] float32"),
        (chosen(weight=np.array([1, np.nan], np.float32)), "weight has values that are not finite"),
        (chosen(kept=np.array([1, 4])), "it keeps sample 4, and the data set has 4 samples"),
        (chosen(partner=np.array([3, -1]), epsilon=np.zeros(2, np.float32)), "a partner must be a dropped sample"),
        (chosen(partner=np.array([0, 0]), epsilon=np.zeros(2, np.float32)), "the partner of at most one"),
        (chosen(partner=np.array([0, -1]), epsilon=np.array([-1, 0], np.float32)), "never negative"),
    ],
)
def test_what_it_does_wrong_is_told_by_name(module: ModuleType, values: ValueStore, policy: Any, problem: str) -> None:
    with pytest.raises(FailedError, match=problem) as caught:
        plan_by(module, values, policy)
    assert str(caught.value).startswith("condense.policy: my_policies:choose in stage 1: ")
    assert "Expected a kcd_pipeline.condensation.Choice: see docs/concepts/policies.md" in str(caught.value)


def test_images_are_blended_with_a_strength_of_at_most_one(module: ModuleType, values: ValueStore) -> None:
    strong = chosen(partner=np.array([0, -1]), epsilon=np.array([1.5, 0], np.float32))
    assert plan_by(module, values, strong).epsilon.max() == 1.5
    with pytest.raises(FailedError, match=r"a strength of 1\.5; perturb: pair takes at most 1"):
        plan_by(module, values, strong, perturb="pair")


def test_its_own_refusals_are_its_own(module: ModuleType, values: ValueStore) -> None:
    def refuse(here: Situation) -> Choice:
        raise UserError("this policy needs condense.alpha=0")

    with pytest.raises(UserError, match=r"^this policy needs condense\.alpha=0$"):
        plan_by(module, values, refuse)


def test_damage_that_it_comes_upon_is_told_as_damage(module: ModuleType, values: ValueStore) -> None:
    file = next(path for path in (values.path / "value").rglob("*") if path.is_file() and path.name != "zarr.json")
    file.write_bytes(b"")
    with pytest.raises(CorruptStoreError):
        plan_by(module, values, lambda here: Choice(kept=np.argsort(here.value())))
