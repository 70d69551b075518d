"""Ranking against numpy's own sorts, over scores with ties, infinities and zeros of both signs, in any chunks.

The contract itself is `by_numpy`: descending score, ties by ascending index.
"""

import tracemalloc
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kcd_pipeline.condensation.ranking import select
from kcd_pipeline.condensation.ranking.buckets import count_keys, refine
from kcd_pipeline.condensation.ranking.budget import Limits, plan_ranking
from kcd_pipeline.condensation.ranking.chunks import KeyChunks
from kcd_pipeline.condensation.ranking.keys import descending_keys, order_of, score_of
from kcd_pipeline.condensation.ranking.select import rank_all, rank_all_within, select_within
from kcd_pipeline.condensation.ranking.zones import ordered_members
from kcd_pipeline.condensation.vaks import partition
from kcd_stores import StoreUsageError

LARGEST, LEAST = np.finfo(np.float64).max, 5e-324  # the latter subnormal
few_levels = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 2.3, np.nextafter(1.0, 2.0), -np.inf])  # many ties
extremes = st.sampled_from([LARGEST, -LARGEST, LEAST, -LEAST, np.inf, -np.inf, 2.3e-308])
any_score = st.floats(allow_nan=False)
score_arrays = hnp.arrays(np.float64, st.integers(1, 60), elements=few_levels | any_score | extremes) | hnp.arrays(
    np.float64, st.integers(1, 60), elements=few_levels
)
# from one sample at a time, in very many passes, to everything at once
all_limits = st.builds(
    Limits,
    workers=st.integers(1, 3),
    held=st.booleans(),
    largest_zone=st.sampled_from([2, 5, 1000]),
    usual_zone=st.sampled_from([1, 2]),
    batch=st.sampled_from([1, 2, 5, 1000]),
)


def by_numpy(scores: np.ndarray) -> np.ndarray:
    return np.lexsort((np.arange(len(scores)), -scores))


def chunked(scores: np.ndarray, data: st.DataObject) -> da.Array:
    """Cut `scores` into uneven chunks, some of them between ties."""
    bounds = sorted({0, len(scores), *data.draw(st.lists(st.integers(0, len(scores)), max_size=6))})
    return da.from_array(scores, chunks=(tuple(np.diff(bounds).tolist()),))


@given(score_arrays, all_limits, st.data())
def test_a_full_ranking_is_numpys(scores: np.ndarray, limits: Limits, data: st.DataObject) -> None:
    assert rank_all_within(chunked(scores, data), limits).tolist() == by_numpy(scores).tolist()


def split_by_numpy(scores: np.ndarray, keep: int, before: np.ndarray, dropped: str) -> tuple[list[int], ...]:
    """Return K1H, K1L and the partners: the definition of each reading of the dropped, spelled out with a full sort."""
    order = by_numpy(scores)
    kept, rest = order[:keep], order[keep:]
    out = {"all": rest, "new": rest[before[rest]], "released": rest[: max(int(before.sum()) - keep, 0)]}[dropped]
    low = min(len(out), keep)
    return sorted(kept[: keep - low].tolist()), kept[keep - low :].tolist(), out[:low].tolist()


readings = st.sampled_from(["released", "new", "all"])


@given(score_arrays, all_limits, readings, st.data())
def test_a_partition_is_numpys(scores: np.ndarray, limits: Limits, dropped: str, data: st.DataObject) -> None:
    """Compare the whole VAKS split with its definition, in any number of passes."""
    n = len(scores)
    keep = data.draw(st.sampled_from([1, n]) | st.integers(1, n))
    before = data.draw(hnp.arrays(bool, n))
    candidate = before if dropped == "new" else None
    most = max(int(before.sum()) - keep, 0) if dropped == "released" else n
    got = select_within(chunked(scores, data), keep=keep, candidate=candidate, most=most, limits=limits)
    assert (got.high.tolist(), got.low.tolist(), got.partners.tolist()) == split_by_numpy(scores, keep, before, dropped)
    assert got.score_cut == scores[by_numpy(scores)[keep - 1]]
    assert got.never_visited == np.isneginf(scores).sum()


@given(score_arrays, st.sampled_from([1, 7, 60]), readings, st.data())
def test_a_partition_within_the_default_memory(
    scores: np.ndarray, chunk: int, dropped: str, data: st.DataObject
) -> None:
    keep = data.draw(st.integers(1, len(scores)))
    before = data.draw(hnp.arrays(bool, len(scores)))
    got = partition(da.from_array(scores, chunks=chunk), keep=keep, kept_before=before, dropped=dropped)
    assert (got.high.tolist(), got.low.tolist(), got.partners.tolist()) == split_by_numpy(scores, keep, before, dropped)


@given(hnp.arrays(np.uint64, st.integers(0, 60), elements=st.integers(0, 7) | st.integers(0, 2**64 - 1)))
def test_order_of_keys_is_a_stable_sorts(keys: np.ndarray) -> None:
    assert order_of(keys).tolist() == np.argsort(keys, kind="stable").tolist()


def test_keys_that_differ_only_where_the_packed_sort_has_no_room() -> None:
    """Six bits of position leave 58 of the key: of 2^63 + 0 .. 31, only the last six bits differ."""
    random = np.random.default_rng(0)
    close = np.uint64(1 << 63) + random.integers(0, 32, 62).astype(np.uint64)
    keys = np.concatenate([np.array([0], np.uint64), close, np.array([2**64 - 1], np.uint64)])
    assert order_of(keys).tolist() == np.argsort(keys, kind="stable").tolist()


@given(hnp.arrays(np.float64, st.integers(2, 30), elements=few_levels | any_score | extremes))
def test_keys_compare_as_scores_do_and_give_them_back(scores: np.ndarray) -> None:
    keys = descending_keys(scores)
    first, second = scores[:-1], scores[1:]
    np.testing.assert_array_equal(keys[:-1] < keys[1:], first > second)
    np.testing.assert_array_equal(keys[:-1] == keys[1:], first == second)
    assert [score_of(int(key)) for key in keys] == scores.tolist()


@given(score_arrays, st.sampled_from([20, 60]))
def test_buckets_made_finer_until_each_is_one_key_count_every_score(scores: np.ndarray, chunk: int) -> None:
    keys = KeyChunks(da.from_array(scores, chunks=chunk), workers=1, held=False)
    candidate = np.arange(len(scores)) % 3 == 0
    buckets = count_keys(keys, candidate)
    while which := np.flatnonzero(buckets.lower < buckets.last)[:8].tolist():
        buckets = refine(keys, buckets, which, candidate)
    levels, counts = np.unique(scores + 0.0, return_counts=True)
    assert [score_of(int(buckets.lower[b])) for b in range(len(levels))] == levels[::-1].tolist()
    assert buckets.total.tolist() == counts[::-1].tolist()
    assert buckets.candidates.tolist() == [int((scores[candidate] == level).sum()) for level in levels[::-1]]


def test_a_hundred_thousand_scores_in_a_handful_of_levels_and_out_of_it() -> None:
    """Enough scores for many zones, batches and buckets, and for packed keys to collide."""
    random = np.random.default_rng(0)
    spread = random.gamma(2, 0.3, 100_000)
    for scores in (spread, np.round(spread, 2), np.where(spread > 1, -np.inf, spread), 1 + spread * 1e-12):
        lazy = da.from_array(scores, chunks=7001)
        for limits in (
            Limits(workers=2, held=False, largest_zone=1500, usual_zone=1500, batch=20_000),
            Limits(workers=2, held=True, largest_zone=10**6, usual_zone=10_000, batch=10**6),
        ):
            assert (rank_all_within(lazy, limits) == np.argsort(-scores, kind="stable")).all()


@pytest.mark.parametrize("keep", [1, 3, 5])
def test_when_all_are_equal_the_index_decides(keep: int) -> None:
    got = partition(da.full(5, 0.7, chunks=2), keep=keep, kept_before=np.ones(5, bool), dropped="all")
    low = min(5 - keep, keep)
    assert got.high.tolist() == list(range(keep - low))
    assert got.low.tolist() == list(range(keep - low, keep))
    assert got.partners.tolist() == list(range(keep, keep + low))


@pytest.mark.parametrize("dropped", ["released", "new", "all"])
def test_nothing_dropped_perturbs_nothing(dropped: str) -> None:
    """`remain[-0:]` is everything, so a slice by a count of 0 would perturb all samples."""
    got = partition(da.from_array(np.arange(5.0)), keep=5, kept_before=np.ones(5, bool), dropped=dropped)
    assert got.high.tolist() == [0, 1, 2, 3, 4]
    assert got.low.tolist() == got.partners.tolist() == []


@pytest.mark.parametrize("nan", [np.nan, -np.nan, np.array([0x7FF0000000000001]).view(np.float64)[0]])
def test_nan_has_no_rank_and_the_sample_is_named(nan: float) -> None:
    scores = da.from_array(np.array([1.0, 2.0, 3.0, 4.0, nan, 5.0]), chunks=4)
    with pytest.raises(ValueError, match="score of sample 4 is NaN"):
        rank_all(scores)
    with pytest.raises(ValueError, match="score of sample 4 is NaN"):
        partition(scores, keep=2, kept_before=np.ones(6, bool), dropped="new")


@pytest.mark.parametrize("keep", [0, 6])
def test_a_count_out_of_range_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match="keep must be 1 to 5"):
        partition(da.from_array(np.arange(5.0)), keep=keep, kept_before=np.ones(5, bool), dropped="new")


def test_scores_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        rank_all(da.zeros(3, dtype=np.float32))


def test_what_cannot_fit_is_refused_with_both_numbers() -> None:
    """A million scores in one chunk exceed 50 MB; 4 MB of order and 2 MB of marks alone would not."""
    with pytest.raises(StoreUsageError, match=r"at least 1\d\d\.\d MB \(\d+ bytes\), but may take 50\.0 MB.* 4\.0 MB"):
        rank_all(da.zeros(1_000_000, chunks=1_000_000), memory=50 * 10**6)
    assert rank_all(da.zeros(1_000_000, chunks=100_000), memory=50 * 10**6)[-1] == 999_999


def test_memory_buys_held_keys_first_and_larger_zones() -> None:
    """20,000,000 samples are held (160 MB) in 1 GB; 100,000,000 (800 MB) are not, and are still ranked."""
    kind: dict[str, Any] = {"chunk": 1 << 20, "memory": 10**9}
    small = plan_ranking(samples=20 * 10**6, ordered=12 * 10**6, plain=14 * 10**6, **kind)
    large = plan_ranking(samples=100 * 10**6, ordered=60 * 10**6, plain=70 * 10**6, **kind)
    assert small.held
    assert not large.held
    assert small.largest_zone > large.largest_zone
    with pytest.raises(StoreUsageError, match=r"520\.0 MB are the indices"):  # 60 + 70 million of 4 bytes
        plan_ranking(samples=100 * 10**6, ordered=60 * 10**6, plain=70 * 10**6, chunk=1 << 20, memory=700 * 10**6)


def test_a_pass_frees_its_keys_before_the_next_one_gathers_its_own() -> None:
    """The order takes 16 MB, the keys of each of four passes 8 MB, and counts and chunks 13 MB, as traced."""
    samples = 4_000_000
    scores = np.random.default_rng(5).normal(size=samples)
    lazy = da.from_array(scores, chunks=1 << 15)
    limits = Limits(workers=1, held=False, largest_zone=100_000, usual_zone=100_000, batch=samples // 4)
    tracemalloc.start()
    try:
        order = rank_all_within(lazy, limits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert order.nbytes == 16_000_000
    assert peak < 41_000_000  # 45 MB if the keys of two passes were held at once
    assert np.array_equal(order, np.argsort(-scores, kind="stable"))


@pytest.mark.parametrize("levels", [1, 3])
def test_of_ties_at_the_cut_only_those_that_are_needed_are_gathered(
    monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    """20,000 of 200,000 samples in a few levels are needed; at most 1,000 more at each of three bounds are gathered."""
    samples, gathered = 200_000, []

    def recorded(*args: Any, **settings: Any) -> np.ndarray:
        gathered.append(ordered_members(*args, **settings))
        return gathered[-1]

    monkeypatch.setattr(select, "ordered_members", recorded)
    scores = np.random.default_rng(0).integers(0, levels, samples).astype(float)
    limits = Limits(workers=1, held=False, largest_zone=1000, usual_zone=1000, batch=samples)
    got = select.select_within(
        da.from_array(scores, chunks=7001), keep=150_000, candidate=None, most=10_000, limits=limits
    )
    order = np.argsort(-scores, kind="stable")
    assert np.array_equal(got.low, order[140_000:150_000])
    assert np.array_equal(got.partners, order[150_000:160_000])
    assert len(gathered[0]) <= 23_000
