"""Exact selection by rank over chunked scores, lazily with dask, without sorting what needs no order.

The order is descending score, ties by ascending index. Scores become unsigned integer keys that sort the same
way; where a rank cuts them is found by counting keys by their leading bits, chunk by chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

DIGIT_BITS = 16
DIGITS = 1 << DIGIT_BITS


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where the first `count` of a ranking end: all keys below `key`, and of those equal to it the first `ties`."""

    key: np.uint64
    ties: int


def descending_keys(scores: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Unsigned keys that ascend as scores descend; equal scores, and both zeros, have equal keys.

    Raises
    ------
    ValueError
        If a score is NaN, which has no rank.
    """
    if np.isnan(scores).any():
        raise ValueError("a score is NaN: the values it comes from are damaged, or the student diverged")
    bits = (scores + 0.0).view(np.uint64)  # + 0.0 makes -0.0 the same key as 0.0
    sign = np.uint64(1) << np.uint64(63)
    ascending = np.where(bits & sign, ~bits, bits | sign)
    return ~ascending


def find_cut(scores: da.Array, count: int) -> Cut:
    """The cut after the first `count` of the ranking, 0 < count <= N.

    One pass over the chunks for each 16 bits of key: four, whatever N, with 512 KiB a chunk in memory for it.
    """
    if not 0 < count <= scores.size:
        raise ValueError(f"count must be 1 to {scores.size}, got {count}")
    prefix = 0
    for done in range(0, 64, DIGIT_BITS):
        counts = sum(_each_chunk(scores, _digit_counts, prefix, done))
        upto = np.cumsum(counts)
        digit = int(np.searchsorted(upto, count))
        count -= int(upto[digit] - counts[digit])
        prefix = (prefix << DIGIT_BITS) | digit
    return Cut(key=np.uint64(prefix), ties=count)


def members(scores: da.Array, cut: Cut) -> NDArray[np.bool_]:
    """Which samples are before `cut`: `[N]` bool."""
    key, left, parts = cut.key, cut.ties, []
    for before, equal in _each_chunk(scores, _compare, key):
        first = np.flatnonzero(equal)[:left]
        before[first] = True
        left -= len(first)
        parts.append(before)
    return np.concatenate(parts)


def in_order(index: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """`index[n]` sorted by descending `scores[n]`, ties by index."""
    return index[np.lexsort((index, descending_keys(scores)))]


def _each_chunk(scores: da.Array, function: Callable[..., Any], *args: Any) -> list[Any]:
    """`function(chunk, *args)` for each chunk of `scores`, in order."""
    chunks = scores.to_delayed().ravel()
    return list(dask.compute(*(dask.delayed(function)(chunk, *args) for chunk in chunks)))


def _digit_counts(scores: NDArray[np.float64], prefix: int, done: int) -> NDArray[np.int64]:
    """How many keys that begin with `prefix` (`done` bits) have each value of the next 16 bits."""
    keys = descending_keys(scores)
    if done:
        keys = keys[keys >> np.uint64(64 - done) == np.uint64(prefix)]
    digits = (keys >> np.uint64(64 - done - DIGIT_BITS)) & np.uint64(DIGITS - 1)
    return np.bincount(digits.astype(np.int64), minlength=DIGITS)


def _compare(scores: NDArray[np.float64], key: np.uint64) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    keys = descending_keys(scores)
    return keys < key, keys == key
