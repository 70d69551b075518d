"""Counts of keys by their leading bits, made finer where a ranking needs it, and of ties by their indices.

Letters: B buckets, N samples, n samples of a chunk.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.chunks import KeyChunks, ThreadScratch
from kcd_pipeline.condensation.ranking.keys import KEY_BITS, descending_keys

LEAST_BITS = 12  # sign and exponent: infinities begin a bucket
MOST_BITS = 18  # 64 buckets between a score and its double
FINER_BITS = 16
REFINED_AT_ONCE = 8  # buckets that one pass makes finer
NEVER_VISITED = int(descending_keys(np.array([-np.inf]))[0])  # the largest key of a score

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]  # of samples and of candidates, by part of a bucket


@dataclass(frozen=True, kw_only=True, eq=False)
class Buckets:
    """Ranges of ranks, ascending and not empty, with the number of samples in each; together they hold all samples.

    A bucket has all samples with some keys, or some of the samples with one key.

    Attributes
    ----------
    lower, last
        `[B]` uint64: the first and the last key of each.
    begin, end
        `[B]` int64: the first index, and the one after the last, that its samples may have; 0 and N if it has all
        samples with its keys.
    total
        `[B]` int64: number of samples, at least one.
    candidates
        `[B]` int64: how many of them are candidates, which are blended if they are dropped.
    """

    lower: NDArray[np.uint64]
    last: NDArray[np.uint64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    total: NDArray[np.int64]
    candidates: NDArray[np.int64]

    def of_rank(self, rank: int) -> int:
        """Return the bucket that the sample of `rank` (0-based) is in."""
        return int(np.searchsorted(np.cumsum(self.total), rank, side="right"))

    def one_key(self, bucket: int) -> bool:
        """Return True if all samples of `bucket` tie."""
        return bool(self.lower[bucket] == self.last[bucket])

    @property
    def never_visited(self) -> int:
        """Number of samples that score -inf."""
        return int(self.total[self.lower >= NEVER_VISITED].sum())


class BucketCounts(threading.local):
    """`counts[size]` int64, one array for each thread, all of them listed in `of_threads`.

    New arrays for each chunk would cost more than the counting.
    """

    def __init__(self, size: int, of_threads: list[NDArray[np.int64]]) -> None:
        self.counts = np.zeros(size, dtype=np.int64)
        of_threads.append(self.counts)


def count_keys(keys: KeyChunks, candidate: NDArray[np.bool_] | None) -> Buckets:
    """Count all keys by their leading bits, in one pass.

    Parameters
    ----------
    candidate
        `[N]`: which samples are candidates; None if all are.
    """
    bits = min(max(keys.samples.bit_length(), LEAST_BITS), MOST_BITS)
    of_threads: list[NDArray[np.int64]] = []
    scratch, bucket_counts = ThreadScratch(keys.largest), BucketCounts(2 << bits, of_threads)
    shift = np.uint64(KEY_BITS - bits - 1)  # leaves one bit more, the lowest, which says if it is a candidate

    def count(chunk: NDArray[np.uint64], samples: slice) -> None:
        numbers = np.right_shift(chunk, shift, out=scratch.keys[: len(chunk)])
        numbers &= ~np.uint64(1)
        numbers |= np.uint8(1) if candidate is None else candidate[samples].view(np.uint8)
        np.add.at(bucket_counts.counts, numbers.view(np.int64), 1)

    for _ in keys.map_chunks(count):
        pass
    counts = np.sum(of_threads, axis=0)
    return _by_key(0, KEY_BITS - bits, keys.samples, (counts[0::2] + counts[1::2], counts[1::2]))


def refine(keys: KeyChunks, buckets: Buckets, which: Sequence[int], candidate: NDArray[np.bool_] | None) -> Buckets:
    """Return `buckets` with those of `which` (ascending, at most `REFINED_AT_ONCE`) cut finer, in one pass.

    Each becomes up to 2^16 buckets: of fewer keys or, if it is of one key, of fewer indices.
    """
    widths = [_width(buckets, bucket) for bucket in which]
    shifts = [max(width - FINER_BITS, 0) for width in widths]
    sizes = [1 << min(width, FINER_BITS) for width in widths]
    count = partial(_count_parts, buckets, which, shifts, sizes, candidate)
    counts = [(np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)) for size in sizes]
    for of_chunk in keys.map_chunks(count):
        for (total, candidates), (more_total, more_candidates) in zip(counts, of_chunk, strict=True):
            total += more_total
            candidates += more_candidates
    parts, after = [], 0
    for bucket, shift, of_parts in zip(which, shifts, counts, strict=True):
        lower = int(buckets.lower[bucket])
        if buckets.one_key(bucket):
            finer = _by_index(lower, int(buckets.begin[bucket]), shift, of_parts)
        else:
            finer = _by_key(lower, shift, keys.samples, of_parts)
        parts += [_taken(buckets, slice(after, bucket)), finer]
        after = bucket + 1
    parts.append(_taken(buckets, slice(after, None)))
    return Buckets(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS})


def _width(buckets: Buckets, bucket: int) -> int:
    """Return the number of bits that tell the keys of a bucket apart, or its indices if it is of one key."""
    if buckets.one_key(bucket):
        return int(buckets.end[bucket] - buckets.begin[bucket] - 1).bit_length()
    return int(buckets.last[bucket] - buckets.lower[bucket]).bit_length()


def _count_parts(
    buckets: Buckets,
    which: Sequence[int],
    shifts: list[int],
    sizes: list[int],
    candidate: NDArray[np.bool_] | None,
    chunk: NDArray[np.uint64],
    samples: slice,
) -> list[Counts]:
    """Count the keys `chunk[n]` of `samples` in each part of buckets `which`: `[size]` samples and candidates."""
    found = []
    for bucket, shift, size in zip(which, shifts, sizes, strict=True):
        lower = buckets.lower[bucket]
        at = np.flatnonzero((chunk >= lower) & (chunk <= buckets.last[bucket]))
        if buckets.one_key(bucket):
            index = at + (samples.start - buckets.begin[bucket])
            mine = (index >= 0) & (index < buckets.end[bucket] - buckets.begin[bucket])
            at, numbers = at[mine], index[mine] >> shift
        else:
            numbers = ((chunk[at] - lower) >> np.uint64(shift)).view(np.int64)
        of_candidates = numbers if candidate is None else numbers[candidate[samples][at]]
        found.append((np.bincount(numbers, minlength=size), np.bincount(of_candidates, minlength=size)))
    return found


FIELDS = ("lower", "last", "begin", "end", "total", "candidates")


def _taken(buckets: Buckets, which: slice) -> Buckets:
    return Buckets(**{name: getattr(buckets, name)[which] for name in FIELDS})


def _by_key(lower: int, shift: int, samples: int, counts: Counts) -> Buckets:
    """Return buckets of 2^`shift` keys each, from key `lower` on, without the empty ones."""
    total, candidates = counts
    filled = np.flatnonzero(total)
    first = np.uint64(lower) + (filled.astype(np.uint64) << np.uint64(shift))
    return Buckets(
        lower=first,
        last=first + np.uint64((1 << shift) - 1),
        begin=np.zeros(len(filled), dtype=np.int64),
        end=np.full(len(filled), samples, dtype=np.int64),
        total=total[filled],
        candidates=candidates[filled],
    )


def _by_index(key: int, begin: int, shift: int, counts: Counts) -> Buckets:
    """Return buckets of the samples with one `key`, 2^`shift` indices each, from `begin` on, without the empty ones."""
    total, candidates = counts
    filled = np.flatnonzero(total)
    keys, first = np.full(len(filled), key, dtype=np.uint64), begin + (filled << shift)
    return Buckets(
        lower=keys, last=keys, begin=first, end=first + (1 << shift), total=total[filled], candidates=candidates[filled]
    )
