"""How visits add up to values: means and counts, on paper, over a resume, and where a worth is no number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.recipes import small_recipe

from kcd_pipeline.condensation import new_values
from kcd_pipeline.condensation.values.accumulation import count_forgetting, running_mean
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.errors import FailedError
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import EpochResult
from kcd_stores import ValueStore

BOTH = pytest.mark.parametrize("accumulate", [running_mean, count_forgetting])


def state(samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (*new_values(samples), np.full(samples, np.nan, np.float32))


def visit(
    accumulate: Callable[..., None], arrays: tuple[np.ndarray, ...], index: list[int], worth: list[float]
) -> None:
    accumulate(*arrays, np.array(index), np.array(worth, np.float32))


def test_forgetting_events_step_by_step() -> None:
    """W: predicted wrong, R: right. Never learned, V = F; then V counts the visits that were wrong right after right.

    visit   1 2 3 4 5 6 7 8
            W W R W W R R W
    V       1 2 0 1 1 1 1 2
    """
    value, frequency, latest = arrays = state(1)
    found = []
    for wrong in (1, 1, 0, 1, 1, 0, 0, 1):
        visit(count_forgetting, arrays, [0], [wrong])
        found.append(int(value[0]))
        assert latest[0] == wrong
    assert found == [1, 2, 0, 1, 1, 1, 1, 2]
    assert frequency[0] == 8


def test_what_was_never_learned_is_above_any_count() -> None:
    """Four visits: R W R W has the two events that four visits can have; W W W W has none, and V = F = 4."""
    value, _, _ = arrays = state(3)
    for first, second, third in zip((0, 1, 0, 1), (1, 1, 1, 1), (0, 0, 0, 0), strict=True):
        visit(count_forgetting, arrays, [2, 0, 1], [third, first, second])
    assert value.tolist() == [2, 4, 0]


def test_a_sample_that_is_left_out_keeps_what_it_had() -> None:
    value, frequency, latest = arrays = state(3)
    visit(count_forgetting, arrays, [0, 1], [0, 1])
    visit(count_forgetting, arrays, [1], [0])
    visit(count_forgetting, arrays, [0, 1], [1, 1])  # both were right when they were seen last
    assert value[:2].tolist() == [1, 1]
    assert np.isnan(value[2])
    assert frequency.tolist() == [2, 3, 0]
    assert latest[:2].tolist() == [1, 1]


def test_a_mean_may_be_negative() -> None:
    value, _, latest = arrays = state(1)
    for worth in (-1.0, 0.5, -1.0):
        visit(running_mean, arrays, [0], [worth])
    assert value[0] == -0.5
    assert latest[0] == -1


@BOTH
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_worth_that_is_no_number_is_refused_and_nothing_recorded(accumulate: Callable[..., None], bad: float) -> None:
    arrays = state(3)
    visit(accumulate, arrays, [0, 2], [1, 0])
    before = [part.tobytes() for part in arrays]
    with pytest.raises(ValueError, match=f"the worth of sample 2 is {bad}"):
        visit(accumulate, arrays, [1, 2], [1, bad])
    assert [part.tobytes() for part in arrays] == before


@BOTH
def test_values_read_back_go_on_as_those_that_never_stopped(accumulate: Callable[..., None], tmp_path: Path) -> None:
    samples, epochs = 40, 12
    random = np.random.default_rng(0)
    on, stopped = state(samples), state(samples)
    store = ValueStore.create(tmp_path / "values.zarr", epochs=epochs, samples=samples, measure="forgetting")
    for epoch in range(epochs):
        index = random.permutation(samples)[: 30 if epoch % 3 else samples]
        worth = random.integers(0, 2, len(index)).astype(np.float32)
        for arrays in (on, stopped):
            accumulate(*arrays, index, worth)
        store.write(epoch, *stopped)
        opened = ValueStore.open(store.path)
        assert opened.measure == "forgetting"
        value, frequency = opened.read(epoch)
        stopped = (value.copy(), frequency.copy(), opened.read_latest(epoch).copy())
    for one, other in zip(on, stopped, strict=True):
        np.testing.assert_array_equal(one, other)


# --- in a curriculum ----------------------------------------------------------------------------------------


def result(worth: list[float]) -> EpochResult:
    return EpochResult(
        loss=1, accuracy=0, order=np.arange(len(worth)), worth=np.array(worth, np.float32), steps=1, seconds=1
    )


def begun(folder: Path, epoch: int = 0, **sections: dict[str, Any]) -> StudentCurriculum:
    """Return a curriculum of four samples that learns from labels alone, ready for `epoch`."""
    config = small_recipe(**{"distill": {"epochs": 4, "method": "none"}, **sections})
    curriculum = StudentCurriculum(config, RunFolder(folder), None, 4)
    curriculum.start(epoch)
    return curriculum


def test_a_curriculum_that_is_started_again_counts_on(tmp_path: Path) -> None:
    """Right (0) or wrong (1) in four epochs; the second curriculum begins after two of them."""
    epochs = [[0, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
    for epoch, worth in enumerate(epochs):
        begun(tmp_path, epoch, condense={"value": "forgetting"}).record(epoch, result([float(w) for w in worth]))
    values = ValueStore.open(tmp_path / "values.zarr")
    assert values.measure == "forgetting"
    assert values.read(3)[0].tolist() == [2, 1, 1, 4]
    assert values.read_latest(3).tolist() == epochs[3]


def test_a_worth_that_is_no_number_ends_the_run_and_names_the_key(tmp_path: Path) -> None:
    curriculum = begun(tmp_path, condense={"value": "margin"})
    says = r"condense\.value: margin: epoch 1: the worth of sample 2 is nan, expected a finite number"
    with pytest.raises(FailedError, match=says):
        curriculum.record(0, result([1, 1, float("nan"), 1]))


def test_values_of_another_measure_are_not_gone_on_with(tmp_path: Path) -> None:
    begun(tmp_path, condense={"value": "margin"}).record(0, result([1, 1, 1, 1]))
    with pytest.raises(Exception, match=r"holds values \(margin\) of 4 samples .* this run measures el2n of 4 samples"):
        begun(tmp_path, 1, condense={"value": "el2n"})
