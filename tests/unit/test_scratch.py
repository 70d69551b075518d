"""Arrays of all samples in mapped files, gone through in small pieces: plans, values and rankings are the same."""

import errno
import os
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcd_pipeline.condensation import Perturbation, new_values, visits
from kcd_pipeline.condensation.ranking.budget import plan_ranking
from kcd_pipeline.condensation.vaks import partition, plan_arrays, strengths
from kcd_pipeline.distillation.plan_arrays import partners_needed
from kcd_stores import Plan, PlanStore, Reading, Share, ValueStore, keep_all, scratch
from kcd_stores.runs import plan as plans
from kcd_stores.scratch import IN_MEMORY, Scratch, constant, different, pieces
from kcd_stores.streaming import partner_places
from kcd_stores.streaming.partner_places import PartnerPlaces


@pytest.fixture(params=[None, 7], ids=["one piece", "pieces"])
def in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Scratch:
    """Every array in a file; worked on whole, or 7 elements at a time."""
    if request.param:
        monkeypatch.setattr(scratch, "PIECE", request.param)
        monkeypatch.setattr(plans, "MARKED", 11)
        monkeypatch.setattr(partner_places, "RANGE_ROWS", 8)
    return Scratch(tmp_path, in_memory=0)


def some_plan(seed: int, samples: int = 50, place: Scratch = IN_MEMORY) -> Plan:
    random = np.random.default_rng(seed)
    scores, before = da.from_array(random.integers(0, 9, samples) / 3.0, chunks=9), random.random(samples) < 0.8
    parts = partition(scores, keep=int(random.integers(1, samples)), kept_before=before, dropped="all", scratch=place)
    kept, partner, epsilon = plan_arrays(parts, samples, 0.3, "linear", place)
    return Plan(stage=1, epoch=2, samples=samples, kept=kept, partner=partner, epsilon=epsilon, facts={"a": 1})


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_that_is_ranked_written_and_read_in_files_is_the_same(in_files: Scratch, seed: int) -> None:
    expected = some_plan(seed)
    made = some_plan(seed, place=in_files)
    store = PlanStore(in_files.folder / "plans.zarr")  # type: ignore[operator]  # the fixture gives a folder
    store.write(made)
    for found in (made, store.read(1, in_files), store.read(1)):
        assert found.checksum == expected.checksum
        np.testing.assert_array_equal(found.partner, expected.partner)
    index = np.random.default_rng(seed).permutation(50)
    one, other = Perturbation(made, in_files).lookup(index), Perturbation(expected).lookup(index)
    for name in ("places", "partners", "epsilon"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    wanted = np.where(expected.epsilon > 0, expected.partner, -1)
    np.testing.assert_array_equal(partners_needed(made, in_files), wanted)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kept": [0, 9, 8, 20, 30, 40]}, "ascending"),
        ({"partner": [-1, -1, 45, -1, -1, 50]}, "partners must be indices"),
        ({"partner": [-1, -1, 45, -1, -1, 20]}, "not a kept one"),
        ({"partner": [-1, -1, 45, -1, -1, 45]}, "at most one"),
        ({"epsilon": [0, 0, 0.1, 0, 0, np.inf]}, "finite"),
        ({"epsilon": [0, 0, 0.1, 0.1, 0, 0]}, "nothing is blended"),
        ({"weight": [1, 1, 1, 1, 1, 0]}, "above 0"),
    ],
)
def test_what_a_plan_must_not_be_is_found_in_any_piece(
    in_files: Scratch, monkeypatch: pytest.MonkeyPatch, change: Any, problem: str
) -> None:
    monkeypatch.setattr(scratch, "PIECE", 2)
    arrays: dict[str, Any] = {"kept": [0, 8, 9, 20, 30, 40], "partner": [-1, -1, 45, -1, -1, 46]}
    arrays |= {"epsilon": [0, 0, 0.1, 0, 0, 0.2], "weight": [1.0] * 6} | change
    dtypes = {"kept": np.int64, "partner": np.int64, "epsilon": np.float32, "weight": np.float32}
    made: dict[str, Any] = {name: np.array(numbers, dtypes[name]) for name, numbers in arrays.items()}
    with pytest.raises(ValueError, match=problem):
        Plan(stage=0, epoch=0, samples=50, **made)


def test_values_that_are_read_into_files_are_the_same(in_files: Scratch) -> None:
    assert in_files.folder is not None
    store, random = ValueStore.create(in_files.folder / "values.zarr", epochs=1, samples=30), np.random.default_rng(0)
    value, frequency = new_values(30, in_files)
    assert np.isnan(value).all()
    value[:20], frequency[:20] = random.random(20), 3
    latest = value.astype(np.float32)
    store.write(0, value, frequency, latest)
    for found, expected in zip(store.read(0, in_files), (value, frequency), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(store.read_latest(0, in_files), latest)
    assert list(in_files.folder.iterdir()) == [store.path], "the files of arrays have no names"


@given(order=st.lists(st.integers(0, 6), max_size=40), piece=st.integers(1, 50))
def test_visits_of_a_sample_come_in_their_order_whatever_the_pieces(order: list[int], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "PIECE", piece)
        found = list(visits(np.array(order, np.int64)))
    places = np.concatenate([np.empty(0, np.int64), *found]).tolist()
    assert sorted(places) == list(range(len(order)))
    for visit in found:
        assert len({order[place] for place in visit.tolist()}) == len(visit)
    for sample in set(order):
        own = [place for place in places if order[place] == sample]
        assert own == sorted(own)


@given(count=st.integers(1, 3000), most=st.sampled_from([0.3, 0.1, 1.0, 0.0, 1 / 3]), ramp=st.sampled_from("lr"))
def test_parts_of_the_ramp_are_those_of_numpy(count: int, most: float, ramp: str) -> None:
    name, middle = {"l": "linear", "r": "released"}[ramp], count // 2
    whole = np.linspace(0, most, count, endpoint=ramp == "l", dtype=np.float32)
    parts = [strengths(count, most, name, part) for part in (slice(0, middle), slice(middle, count))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(strengths(count, most, name), whole)


@pytest.mark.parametrize("several", [False, True])
def test_partners_come_by_sample_with_the_places_where_windows_take_them(in_files: Scratch, several: bool) -> None:
    random = np.random.default_rng(1)
    kept, partner = np.arange(0, 60, 2), np.full(30, -1)
    partner[::2] = random.permutation(np.arange(1, 60, 2))[:15]
    times = random.integers(1, 4, 30) if several else None
    reading = Reading(seed=0, epoch=0, view=0, kept=kept, partner=partner, times=times)
    shares = [Share(rank=rank, ranks=2) for rank in range(2)]
    places = PartnerPlaces(reading, shares[1], 60, chunk_rows=4, scratch=in_files)
    taken: dict[Share, list[int]] = {share: [] for share in shares}
    for number, sample in enumerate(random.permutation(np.repeat(kept, 1 if times is None else times))):
        partners = reading.partners_of(np.array([sample]))
        places.add(shares[number % 2], partners)
        taken[shares[number % 2]] += partners.tolist()
    assert (places.partners, places.own) == (sum(map(len, taken.values())), len(taken[shares[1]]))
    rows = np.full(places.own, -1)
    needed: dict[Share, list[int]] = {share: [] for share in shares}
    for part in places.by_sample():
        rows[part.places] = part.needed(shares[1])
        for share in shares:
            needed[share] += part.needed(share).tolist()
    assert rows.tolist() == taken[shares[1]]
    assert needed == {share: sorted(partners) for share, partners in taken.items()}


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left") as found:
        Scratch(tmp_path, in_memory=0).empty(5, np.int64)
    assert found.value.filename == str(tmp_path)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_reserves_nothing_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*given: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert Scratch(tmp_path, in_memory=0).full(3, np.int32, 7).tolist() == [7, 7, 7]


def test_what_is_all_of_it_alike_takes_no_memory() -> None:
    plan = keep_all(1000)
    assert [len(different(array)) for array in (plan.partner, plan.epsilon, plan.weight)] == [1, 1, 1]
    assert not plan.blends
    assert constant(3, 2, np.int8).tolist() == [2, 2, 2]
    assert [piece.stop for piece in pieces(3)] == [3]


def test_a_ranking_whose_marks_are_in_files_takes_no_more_for_more_samples(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {"chunk": 1 << 20, "memory": 200 * 10**6, "scratch": Scratch(tmp_path)}
    one, other = (plan_ranking(samples=n, ordered=n // 2, plain=n // 2, **numbers) for n in (10**8, 10**10))
    assert one == other
