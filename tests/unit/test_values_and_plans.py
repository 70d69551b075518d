"""A run's own stores: values by epoch, plans by stage."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.support.plain_zarr import read_array

from kcd_stores import CorruptStoreError, IncompleteStoreError, Plan, PlanStore, StoreUsageError, ValueStore, keep_all


def test_values_read_back_by_epoch(tmp_path: Path) -> None:
    store = ValueStore.create(tmp_path / "values.zarr", epochs=2, samples=3)
    value, frequency = np.array([0.1, np.nan, 2.0]), np.array([3, 0, 1], dtype=np.int32)
    entropy = np.array([0.2, np.nan, 2.0], np.float32)
    store.write(0, value, frequency, entropy)
    again, visits = ValueStore.open(tmp_path / "values.zarr").read(0)
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(visits, frequency)
    np.testing.assert_array_equal(ValueStore.open(tmp_path / "values.zarr").read_latest(0), entropy)
    with pytest.raises(IncompleteStoreError, match="epoch 1"):
        store.read(1)


def test_values_are_plain_zarr(tmp_path: Path) -> None:
    store = ValueStore.create(tmp_path / "values.zarr", epochs=2, samples=3)
    store.write(1, np.arange(3.0), np.ones(3, np.int32), np.array([0.5, 1, 2], np.float32))
    path = tmp_path / "values.zarr"
    assert read_array(path, "value")[1].tolist() == [0.0, 1.0, 2.0]
    assert read_array(path, "latest")[1].tolist() == [0.5, 1.0, 2.0]
    assert np.isnan(read_array(path, "value")[0]).all()
    assert np.isnan(read_array(path, "latest")[0]).all()


def test_values_that_lack_an_array_are_refused_by_its_name(tmp_path: Path) -> None:
    ValueStore.create(tmp_path / "values.zarr", epochs=1, samples=3)
    shutil.rmtree(tmp_path / "values.zarr" / "latest")
    with pytest.raises(CorruptStoreError, match=r"values\.zarr lack the array 'latest'.* from its beginning"):
        ValueStore.open(tmp_path / "values.zarr")


def test_a_row_is_cut_into_equal_chunks(tmp_path: Path) -> None:
    """2^20 + 1 samples: two chunks of 2^19 + 1, one of them a sample short; a row of 50,000 is one chunk, unpadded."""
    sizes = [(1 << 20) + 1, 50_000]
    large, small = (ValueStore.create(tmp_path / str(samples), epochs=1, samples=samples) for samples in sizes)
    assert large.chunk_sizes() == [(1 << 19) + 1, 1 << 19]
    assert small.chunk_sizes() == [50_000]
    plain: Any = zarr.open_group(tmp_path / str(sizes[0]), mode="r")
    assert {name: array.chunks for name, array in plain.arrays()} == dict.fromkeys(
        ("value", "frequency", "latest"), (1, (1 << 19) + 1)
    )


@pytest.mark.parametrize("name", ["value", "frequency"])
def test_a_damaged_chunk_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "values.zarr"
    ValueStore.create(path, epochs=1, samples=300).write(
        0, np.linspace(0, 1, 300), np.ones(300, np.int32), np.zeros(300, np.float32)
    )
    chunk = path / name / "c" / "0" / "0"
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    chunk.write_bytes(damaged)
    with pytest.raises(CorruptStoreError, match=rf"{name}/c/0/0: its checksum is wrong"):
        ValueStore.open(path).read(0)


def test_no_values_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUsageError, match="no values of a run"):
        ValueStore.open(tmp_path / "nowhere")


def plan(**change: Any) -> Plan:
    """Return a plan that keeps samples 0, 2, 3 of 5, and blends 3 with the dropped 4 at 0.2."""
    fields: dict[str, Any] = {
        "stage": 1,
        "epoch": 4,
        "samples": 5,
        "kept": np.array([0, 2, 3]),
        "partner": np.array([-1, -1, 4]),
        "epsilon": np.array([0, 0, 0.2], np.float32),
        "facts": {"kept": 3, "score_cut": 0.5},
    }
    return Plan(**(fields | change))


def test_plans_read_back_by_stage(tmp_path: Path) -> None:
    store = PlanStore(tmp_path / "plans.zarr")
    store.write(keep_all(5))
    store.write(plan())
    assert store.stages() == [0, 1]
    again = store.read(1)
    assert (again.stage, again.epoch, again.samples) == (1, 4, 5)
    assert again.kept.tolist() == [0, 2, 3]
    assert again.partner.tolist() == [-1, -1, 4]
    np.testing.assert_array_equal(again.epsilon, np.array([0, 0, 0.2], np.float32))
    assert again.facts == {"kept": 3, "score_cut": 0.5}
    assert again.low.tolist() == [False, False, True]
    assert again.kept_fraction == 0.6


def test_the_score_at_the_cut_may_be_as_large_as_alpha_makes_it(tmp_path: Path) -> None:
    """V = 3 nats after 200 visits with alpha = 10: 3 * 200^10 is 3.1e23."""
    store = PlanStore(tmp_path / "plans.zarr")
    store.write(plan(facts={"score_cut": 3 * 200.0**10}))
    assert store.read(1).facts["score_cut"] == 3 * 200.0**10


def test_a_plan_written_again_replaces_itself(tmp_path: Path) -> None:
    store = PlanStore(tmp_path / "plans.zarr")
    store.write(plan())
    store.write(plan(epsilon=np.array([0, 0, 0.1], np.float32)))
    assert store.read(1).epsilon[2] == np.float32(0.1)


def test_a_plan_whose_attributes_were_never_written_is_not_there(tmp_path: Path) -> None:
    store = PlanStore(tmp_path / "plans.zarr")
    store.write(keep_all(5))
    zarr.open_group(str(tmp_path / "plans.zarr"), mode="a").create_group("stage-001")
    assert store.stages() == [0]
    with pytest.raises(StoreUsageError, match="stage 1"):
        store.read(1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kept": np.array([0, 3, 2])}, "ascending"),
        ({"kept": np.array([0, 2, 5])}, "ascending indices below 5"),
        ({"kept": np.array([0, 2])}, "arrays differ"),
        ({"partner": np.array([-1, -1, 2])}, "must be a dropped sample"),
        ({"partner": np.array([-1, 4, 4]), "epsilon": np.array([0, 0.1, 0.2], np.float32)}, "at most one"),
        ({"partner": np.array([-1, -1, 5])}, "indices below 5"),
        ({"epsilon": np.array([0.1, 0, 0.2], np.float32)}, "0 where nothing is blended"),
        ({"epsilon": np.array([0, 0, -0.2], np.float32)}, "never negative"),
        ({"weight": np.ones(2, np.float32)}, "arrays differ"),
        ({"weight": np.array([1, 0, 1], np.float32)}, "finite and above 0"),
        ({"weight": np.array([1, np.nan, 1], np.float32)}, "finite and above 0"),
        ({"weight": np.array([1, np.inf, 1], np.float32)}, "finite and above 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        plan(**change)


def test_chunks_of_a_row_are_those_that_zarr_reads_also_where_nothing_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcd_stores.runs.values.LARGEST_CHUNK", 4)
    store, random = ValueStore.create(tmp_path / "v", epochs=2, samples=10), np.random.default_rng(0)
    store.write(0, random.random(10), np.arange(10, dtype=np.int32), random.random(10, dtype=np.float32))
    group = zarr.open_group(tmp_path / "v", mode="r")
    assert sum(store.chunk_sizes()) == 10
    for name in ("value", "frequency", "latest"):
        for epoch in (0, 1):
            parts = [store.read_chunk(name, epoch, number) for number in range(len(store.chunk_sizes()))]
            np.testing.assert_array_equal(np.concatenate(parts), group[name][epoch])  # type: ignore[index]  # an array


def test_a_damaged_chunk_of_values_is_named(tmp_path: Path) -> None:
    store = ValueStore.create(tmp_path / "v", epochs=1, samples=10)
    store.write(0, np.zeros(10), np.ones(10, np.int32), np.zeros(10, np.float32))
    file = tmp_path / "v" / "frequency" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptStoreError, match="frequency/c/0/0: its checksum is wrong"):
        store.read_chunk("frequency", 0, 0)
