"""Selection by rank against a plain numpy sort, over scores with ties, infinities and any chunking."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kcd_pipeline.condensation.ranking import descending_keys, find_cut, in_order, members
from kcd_pipeline.condensation.vaks import partition

few_levels = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 2.3, -np.inf])  # many ties
any_score = st.floats(min_value=-np.inf, max_value=1e300, allow_nan=False)
score_arrays = hnp.arrays(np.float64, st.integers(1, 60), elements=few_levels | any_score)


def sorted_by_numpy(scores: np.ndarray) -> np.ndarray:
    """The contract itself: descending score, ties by ascending index."""
    return np.argsort(-scores, kind="stable")


@given(score_arrays, st.integers(1, 60), st.data())
def test_the_first_k_are_those_of_a_full_stable_sort(scores: np.ndarray, chunk: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(scores)))
    lazy = da.from_array(scores, chunks=chunk)
    chosen = np.flatnonzero(members(lazy, find_cut(lazy, count)))
    assert set(chosen) == set(sorted_by_numpy(scores)[:count])


@given(score_arrays)
def test_order_is_that_of_a_stable_sort(scores: np.ndarray) -> None:
    shuffled = np.random.default_rng(0).permutation(len(scores))
    assert in_order(shuffled, scores[shuffled]).tolist() == sorted_by_numpy(scores).tolist()


@given(score_arrays, st.integers(1, 60), st.sampled_from(["new", "all"]), st.data())
def test_partition_is_exact_for_any_scores(scores: np.ndarray, chunk: int, dropped: str, data: st.DataObject) -> None:
    """The whole of VAKS' split, against the words of design.md spelled out with a full sort."""
    n = len(scores)
    keep = data.draw(st.integers(1, n))
    before = data.draw(hnp.arrays(bool, n))
    got = partition(da.from_array(scores, chunks=chunk), keep=keep, kept_before=before, dropped=dropped)

    ranked = sorted_by_numpy(scores)
    kept, rest = ranked[:keep], ranked[keep:]
    out = [i for i in rest if dropped == "all" or before[i]]
    low = min(len(out), keep)
    assert got.high.tolist() == sorted(kept[: keep - low])
    assert got.low.tolist() == kept[keep - low :].tolist()
    assert got.partners.tolist() == out[:low]
    assert got.score_cut == scores[kept[-1]]


def test_nothing_dropped_perturbs_nothing() -> None:
    """`remain[-0:]` is everything: the trap that others fell into."""
    got = partition(da.from_array(np.arange(5.0)), keep=5, kept_before=np.ones(5, bool), dropped="all")
    assert got.high.tolist() == [0, 1, 2, 3, 4]
    assert got.low.tolist() == got.partners.tolist() == []


def test_nan_has_no_rank() -> None:
    with pytest.raises(ValueError, match="NaN"):
        descending_keys(np.array([1.0, np.nan]))


@pytest.mark.parametrize("count", [0, 6])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="count must be 1 to 5"):
        find_cut(da.from_array(np.arange(5.0)), count)
