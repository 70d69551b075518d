"""How many keys lie where: counts by leading bits, finer where a ranking needs it finer.

Letters: B buckets, N samples.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.chunks import KeyChunks, Scratch
from kcd_pipeline.condensation.ranking.keys import KEY_BITS, descending_keys

LEAST_BITS = 12  # sign and exponent: infinities begin a bucket
MOST_BITS = 18  # 64 buckets between a score and its double
FINER_BITS = 16
AT_ONCE = 8  # buckets that one pass makes finer
NEVER = int(descending_keys(np.array([-np.inf]))[0])  # the last key of all


@dataclass(frozen=True, kw_only=True, eq=False)
class Buckets:
    """Ranges of keys, ascending, with how many samples have a key in each; none has a key in no range.

    Attributes
    ----------
    lower, last
        `[B]` uint64: the first and the last key of each.
    total
        `[B]` int64: samples, at least one.
    candidates
        `[B]` int64: those of them that are candidates (to be blended, should they be dropped).
    """

    lower: NDArray[np.uint64]
    last: NDArray[np.uint64]
    total: NDArray[np.int64]
    candidates: NDArray[np.int64]

    def holding(self, rank: int) -> int:
        """The bucket that the sample of `rank` (0-based) is in."""
        return int(np.searchsorted(np.cumsum(self.total), rank, side="right"))

    @property
    def never(self) -> int:
        """How many samples score -inf."""
        return int(self.total[self.lower >= NEVER].sum())


class Tally(threading.local):
    """`counts[n]` of each thread's own, all of them in `everyones`: fresh ones for each chunk would cost more."""

    def __init__(self, size: int, everyones: list[NDArray[np.int64]]) -> None:
        self.counts = np.zeros(size, dtype=np.int64)
        everyones.append(self.counts)


def count_keys(keys: KeyChunks, candidate: NDArray[np.bool_] | None) -> Buckets:
    """All keys by their leading bits, in one pass; `candidate[N]`: None where all are."""
    bits = min(max(keys.samples.bit_length(), LEAST_BITS), MOST_BITS)
    everyones: list[NDArray[np.int64]] = []
    scratch, tally = Scratch(keys.largest), Tally(2 << bits, everyones)
    shift = np.uint64(KEY_BITS - bits - 1)  # one bit more than asked for: it says whether a candidate is meant

    def counted(chunk: NDArray[np.uint64], samples: slice) -> None:
        numbers = np.right_shift(chunk, shift, out=scratch.keys[: len(chunk)])
        numbers &= ~np.uint64(1)
        numbers |= np.uint8(1) if candidate is None else candidate[samples].view(np.uint8)
        np.add.at(tally.counts, numbers.view(np.int64), 1)

    for _ in keys.each(counted):
        pass
    counts = np.sum(everyones, axis=0)
    return _filled(0, KEY_BITS - bits, counts[0::2] + counts[1::2], counts[1::2])


def refine(keys: KeyChunks, buckets: Buckets, which: Sequence[int], candidate: NDArray[np.bool_] | None) -> Buckets:
    """The same with buckets `which` (ascending, at most `AT_ONCE`) cut into up to 2^16 each, in one pass."""
    widths = [int(buckets.last[bucket] - buckets.lower[bucket]).bit_length() for bucket in which]
    shifts = [max(width - FINER_BITS, 0) for width in widths]
    sizes = [1 << min(width, FINER_BITS) for width in widths]

    def counted(chunk: NDArray[np.uint64], samples: slice) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        found = []
        for bucket, shift, size in zip(which, shifts, sizes, strict=True):
            lower = buckets.lower[bucket]
            at = np.flatnonzero((chunk >= lower) & (chunk <= buckets.last[bucket]))
            numbers = ((chunk[at] - lower) >> np.uint64(shift)).view(np.int64)
            among = numbers if candidate is None else numbers[candidate[samples][at]]
            found.append((np.bincount(numbers, minlength=size), np.bincount(among, minlength=size)))
        return found

    counts = [(np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)) for size in sizes]
    for more in keys.each(counted):
        for (total, among), (more_total, more_among) in zip(counts, more, strict=True):
            total += more_total
            among += more_among
    parts, after = [], 0
    for bucket, shift, (total, among) in zip(which, shifts, counts, strict=True):
        parts += [_some(buckets, slice(after, bucket)), _filled(int(buckets.lower[bucket]), shift, total, among)]
        after = bucket + 1
    parts.append(_some(buckets, slice(after, None)))
    return Buckets(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS})


FIELDS = ("lower", "last", "total", "candidates")


def _some(buckets: Buckets, which: slice) -> Buckets:
    return Buckets(**{name: getattr(buckets, name)[which] for name in FIELDS})


def _filled(lower: int, shift: int, total: NDArray[np.int64], candidates: NDArray[np.int64]) -> Buckets:
    """Buckets of 2^`shift` keys from key `lower` on, without the empty ones."""
    filled = np.flatnonzero(total)
    begin = np.uint64(lower) + (filled.astype(np.uint64) << np.uint64(shift))
    last = begin + np.uint64((1 << shift) - 1)
    return Buckets(lower=begin, last=last, total=total[filled], candidates=candidates[filled])
