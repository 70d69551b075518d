"""An order that is computed by a key: each member once, all places alike; windows of any set in bounded memory."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from kcd_stores.philox import KEYED_STRIP_STREAM, KeyedPermutation
from kcd_stores.streaming import order as orders
from kcd_stores.streaming.order import WindowSizes, plan_windows


def keyed(size: int, seed: int = 0, epoch: int = 0) -> KeyedPermutation:
    return KeyedPermutation(seed, epoch, size, stream=KEYED_STRIP_STREAM)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(100, 3000), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**20), data=st.data())
def test_each_member_has_one_place_and_ranges_are_parts_of_the_whole(
    size: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    order = keyed(size, seed, epoch)
    whole = order.members(0, size)
    np.testing.assert_array_equal(np.sort(whole), np.arange(size))
    first = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(first, size))
    np.testing.assert_array_equal(order.members(first, stop), whole[first:stop])


def test_members_and_pairs_of_neighbours_are_spread_evenly() -> None:
    """In 120 epochs; tenths of the places by tenths of the members are a table whose sums are fixed: 19 constraints."""
    size, epochs = 250, 120
    table, distances = np.zeros((10, 10)), np.zeros(size)
    for epoch in range(epochs):
        members = keyed(size, 7, epoch).members(0, size)
        np.add.at(table, (np.arange(size) // 25, members // 25), 1)
        distances += np.bincount((members[1:] - members[:-1]) % size, minlength=size)
    assert chisquare(table.ravel(), ddof=18).pvalue > 1e-4
    assert chisquare(distances[1:]).pvalue > 1e-4  # a random order has each distance but 0 as often


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="has 0 to"):
        keyed(2**62 + 1)
    with pytest.raises(IndexError, match="places 3 to 11 of a permutation of 10"):
        keyed(10).members(3, 11)
    assert keyed(2**62).members(2**61, 2**61 + 4).max() < 2**62
    assert len(keyed(0).members(0, 0)) == 0


@settings(max_examples=8, deadline=None)
@given(
    samples=st.integers(1000, 2000),
    window=st.integers(50, 200),
    strip=st.integers(1, 5),
    batch=st.integers(1, 30),
    share=st.floats(0.05, 1),
)
def test_windows_by_key_read_every_kept_sample_once(
    samples: int, window: int, strip: int, batch: int, share: float
) -> None:
    sizes = WindowSizes(window_rows=window, strip_rows=min(strip, window))
    kept = np.flatnonzero(np.random.default_rng(0).random(samples) < share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "LARGEST_ARRAY", 0)
        patch.setattr(orders, "STRIPS_AT_ONCE", 100)
        windows = list(plan_windows(3, 1, kept, sizes, batch_size=batch))
        of_range = list(plan_windows(3, 1, range(samples), sizes, batch_size=batch))
        of_array = list(plan_windows(3, 1, np.arange(samples), sizes, batch_size=batch))
    assert [one.last for one in windows] == [False] * (len(windows) - 1) + [True] * bool(windows)
    read = np.concatenate([kept[:0], *(one.read for one in windows)])
    np.testing.assert_array_equal(np.sort(read), kept)
    assert all(len(one.read) < window + min(strip, window) for one in windows)
    for one, other in zip(of_range, of_array, strict=True):
        np.testing.assert_array_equal(one.order, other.order)


def test_a_range_of_few_samples_has_the_order_of_its_array() -> None:
    sizes = WindowSizes(window_rows=64, strip_rows=8)
    of_range, of_array = (list(plan_windows(5, 2, kept, sizes)) for kept in (range(40, 1000), np.arange(40, 1000)))
    for one, other in zip(of_range, of_array, strict=True):
        np.testing.assert_array_equal(one.order, other.order)


def test_a_billion_samples_take_the_memory_of_their_windows() -> None:
    """An array of them would take 8 GB, one of their strips 62.5 MB; 2**16 strips at a time take 0.5 MB an array."""
    sizes = WindowSizes(window_rows=2**14, strip_rows=128)
    tracemalloc.start()
    try:
        windows = list(islice(plan_windows(0, 0, range(10**9), sizes, batch_size=256), 4))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32e6
    assert len({int(sample) for one in windows for sample in one.read // 128}) == 4 * 128
    assert np.ptp(windows[0].read) > 5e8
