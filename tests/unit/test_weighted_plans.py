"""Plans whose samples have weights: what is written, what is noticed, and the factors that a step looks up."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.plain_zarr import read_array

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.condensation import SampleWeights
from kcd_pipeline.losses import PLAIN
from kcd_stores import CondensedRows, CorruptStoreError, Plan, PlanStore, keep_all

CPU = torch.device("cpu")


def plan(weight: list[float] | None) -> Plan:
    """Return a plan that keeps samples 0, 2 and 3 of 5, with these weights."""
    found = Plan(
        stage=1,
        epoch=4,
        samples=5,
        kept=np.array([0, 2, 3]),
        partner=np.full(3, -1),
        epsilon=np.zeros(3, np.float32),
    )
    return found if weight is None else replace(found, weight=np.array(weight, np.float32))


def test_weights_of_one_are_neither_written_nor_part_of_the_digest(tmp_path: Path) -> None:
    """The digest is that of plans before they had weights: (stage, epoch, samples, K), then the three arrays."""
    before = hashlib.sha256(b"(1, 4, 5, 3)")
    for array in (np.array([0, 2, 3], "<i8"), np.full(3, -1, "<i8"), np.zeros(3, "<f4")):
        before.update(array.tobytes())
    for weight in (None, [1.0, 1, 1]):
        store = PlanStore(tmp_path / str(weight))
        store.write(plan(weight))
        assert plan(weight).digest == before.hexdigest()
        assert not (store.path / "stage-001" / "weight").exists()
        assert store.read(1).weight.tolist() == [1, 1, 1]


def test_weights_read_back_and_are_plain_zarr(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    store.write(plan([1, 2.5, 0.25]))
    again = store.read(1)
    assert (again.weight.dtype.str, again.weight.tolist()) == ("<f4", [1, 2.5, 0.25])
    assert again.digest == plan([1, 2.5, 0.25]).digest != plan(None).digest != plan([1, 2.5, 0.5]).digest
    assert read_array(tmp_path / "stage-001", "weight").tolist() == [1, 2.5, 0.25]


def test_a_plan_without_weights_replaces_one_that_had_some(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    store.write(plan([1, 2, 3]))
    store.write(plan(None))
    assert not PlanStore(tmp_path).read(1).weighted


@pytest.mark.parametrize("known", [True, False])
def test_lost_weights_are_noticed(tmp_path: Path, known: bool) -> None:
    store = PlanStore(tmp_path)
    store.write(keep_all(5))
    store.write(plan([1, 2, 3]))
    recorded = store.checksums(2)
    shutil.rmtree(tmp_path / "stage-001" / "weight")
    with pytest.raises(CorruptStoreError, match="it is not the plan that was written there"):
        PlanStore(tmp_path, recorded=recorded if known else ()).read(1)


def test_all_samples_in_a_later_stage() -> None:
    last = keep_all(4, stage=7, epoch=210)
    assert (last.stage, last.epoch, last.kept.tolist(), last.weighted) == (7, 210, [0, 1, 2, 3], False)


def test_a_batch_has_the_weights_of_its_samples_in_its_own_order() -> None:
    found = SampleWeights(plan([1, 2.5, 0.25]), None, CPU).batch(np.array([3, 0, 2]))
    assert found is not None
    assert (found.dtype, found.tolist()) == (torch.float32, [0.25, 1, 2.5])


def test_no_weights_are_looked_up_if_all_are_one() -> None:
    assert SampleWeights(plan(None), None, CPU).batch(np.array([3, 0])) is None


def test_weights_of_a_condensed_store_are_multiplied_by_those_of_the_plan() -> None:
    """Samples 0, 2 and 3 weigh 2, 4 and 5 in the store: times 1, 2.5 and 0.25 these are 2, 10 and 1.25."""
    given = np.array([2, 3, 4, 5, 6], np.float32)
    found = SampleWeights(plan([1, 2.5, 0.25]), given, CPU).batch(np.array([0, 2, 3]))
    assert found is not None
    assert found.tolist() == [2, 10, 1.25]
    assert given.tolist() == [2, 3, 4, 5, 6]
    alone = SampleWeights(keep_all(5), given, CPU).batch(np.array([4]))
    assert alone is not None
    assert alone.tolist() == [6]


def test_the_loss_from_labels_is_the_mean_of_weight_times_cross_entropy() -> None:
    """Logits (0, ln 3): p = 1/4 and 3/4. CE of labels 0, 1: ln 4, ln 4/3; (3 ln 4 + ln 4/3) / 2 = ln 16/sqrt 3."""
    logits = torch.tensor([[0, np.log(3)], [0, np.log(3)]])
    labels = Labels(own=torch.tensor([0, 1]))
    found = PLAIN.mean(logits, labels, torch.tensor([3.0, 1.0]))
    assert float(found) == pytest.approx(np.log(16 / np.sqrt(3)), rel=1e-6)
    assert float(PLAIN.mean(logits, labels, None)) == pytest.approx(np.log(4 / np.sqrt(3)), rel=1e-6)


def test_a_condensed_set_says_that_it_has_weights_only_if_they_differ_from_one() -> None:
    ones = CondensedRows(samples=np.arange(2), partner=np.full(2, -1), epsilon=np.zeros(2, np.float32))
    weighted = replace(ones, weight=np.array([1, 2], np.float32))
    assert [name for name, *_ in ones.arrays] == ["epsilon", "partner", "samples"]
    assert [name for name, *_ in weighted.arrays] == ["epsilon", "partner", "samples", "weight"]
    by_hand = b"".join(getattr(weighted, name).tobytes() for name, *_ in weighted.arrays)
    assert weighted.digest == hashlib.sha256(by_hand).hexdigest() != ones.digest


@pytest.mark.parametrize("weight", [[1, 0], [1, float("nan")], [1, 2, 3]])
def test_a_condensed_set_with_impossible_weights_is_refused(weight: list[float]) -> None:
    with pytest.raises(ValueError, match=r"weights are not all finite|arrays differ"):
        CondensedRows(
            samples=np.arange(2),
            partner=np.full(2, -1),
            epsilon=np.zeros(2, np.float32),
            weight=np.array(weight, np.float32),
        )
