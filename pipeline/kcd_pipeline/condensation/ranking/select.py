"""Exact ranking of chunked scores, lazily with dask, within a memory budget; it sorts no more than it must.

The order is descending score, ties by ascending index (eq. 13). Scores become unsigned integer keys that sort in this
order. One pass over the chunks counts keys by their leading bits, which tells the keys between which the ranks of
interest are; where very many samples tie, another pass counts them by index. The next pass gathers the samples between
these places, and only these are put in order. Letters: N samples, K kept, L perturbed.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.buckets import REFINED_AT_ONCE, Buckets, count_keys, refine
from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY, SMALLEST_ZONE, Limits, plan_ranking
from kcd_pipeline.condensation.ranking.chunks import KeyChunks
from kcd_pipeline.condensation.ranking.keys import score_of
from kcd_pipeline.condensation.ranking.zones import Zone, cut_zones, index_type, ordered_members
from kcd_stores.scratch import IN_MEMORY, Scratch

BLOCK = 1 << 18  # samples whose marks become indices at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """K1H, K1L and the dropped samples that K1L is paired with; indices are int32 if N allows it, else int64.

    Attributes
    ----------
    high
        `[K - L]`: K1H, ascending indices.
    low
        `[L]`: K1L, the most valuable first.
    partners
        `[L]`: the L most valuable of the dropped candidates, the most valuable first.
    score_cut
        Score of the last sample that is kept.
    never_visited
        Number of samples that score -inf.
    """

    high: NDArray[np.integer]
    low: NDArray[np.integer]
    partners: NDArray[np.integer]
    score_cut: float
    never_visited: int


def rank_all(scores: da.Array, *, memory: int = DEFAULT_MEMORY) -> NDArray[np.integer]:
    """Return all samples by descending score, ties by index: `order[N]`, so that `rank[order] = 0 .. N-1`.

    Exact for any chunks. A condensation needs less than this, and costs less: see `select`.

    Parameters
    ----------
    scores
        `[N]` float64, chunked.
    memory
        Bytes that the ranking may take, including the order itself.

    Raises
    ------
    ValueError
        If a score is NaN.
    StoreUsageError
        If it does not fit in `memory`.
    """
    samples = int(scores.size)
    limits = plan_ranking(samples=samples, chunk=max(scores.chunks[0]), ordered=samples, plain=0, memory=memory)
    return rank_all_within(scores, limits)


def rank_all_within(scores: da.Array, limits: Limits) -> NDArray[np.integer]:
    """Return the order of `rank_all`, computed within `limits`."""
    keys = KeyChunks(scores, workers=limits.workers, held=limits.held)
    _, zones = _find_zones(keys, None, partial(_all_zones, limit=limits.usual_zone), limits)
    return ordered_members(keys, zones, candidate=None, limits=limits)


def _all_zones(buckets: Buckets, *, limit: int) -> list[Zone]:
    return cut_zones(buckets, 0, len(buckets.lower), candidates=False, limit=limit)


def select(
    scores: da.Array,
    *,
    keep: int,
    candidate: NDArray[np.bool_] | None,
    most: int | None = None,
    memory: int = DEFAULT_MEMORY,
    scratch: Scratch = IN_MEMORY,
) -> Partition:
    """Split samples by rank: the first K are kept, and the lowest L of them are paired with dropped candidates.

    Parameters
    ----------
    scores
        `[N]` float64, chunked.
    keep
        K, 1 to N.
    candidate
        `[N]`: which samples may be blended into others if they are dropped; None if all may.
    most
        Number of them to blend at most; None for as many as there are.
    memory
        Bytes that this may take, including `candidate`, copies of scores and the indices that are returned.
    scratch
        Place of marks and indices; those that are in files take none of these bytes.

    Notes
    -----
    L = min(number of dropped candidates, K, `most`).

    Raises
    ------
    ValueError
        If a score is NaN, or `keep` is out of range.
    StoreUsageError
        If it does not fit in `memory`.
    """
    samples = int(scores.size)
    if not 0 < keep <= samples:
        raise ValueError(f"keep must be 1 to {samples}, got {keep}")
    dropped = samples - keep if candidate is None else min(samples - keep, int(np.count_nonzero(candidate)))
    most = min(dropped, keep) if most is None else min(dropped, keep, most)
    chunk = max(scores.chunks[0])
    limits = plan_ranking(samples=samples, chunk=chunk, ordered=2 * most, plain=keep, memory=memory, scratch=scratch)
    return select_within(scores, keep=keep, candidate=candidate, most=most, limits=limits, scratch=scratch)


def select_within(
    scores: da.Array,
    *,
    keep: int,
    candidate: NDArray[np.bool_] | None,
    most: int,
    limits: Limits,
    scratch: Scratch = IN_MEMORY,
) -> Partition:
    """Return the partition of `select`, computed within `limits`."""
    keys = KeyChunks(scores, workers=limits.workers, held=limits.held)
    zones_of = partial(_zones_around_cut, keep=keep, most=most, limit=limits.usual_zone)
    ties_of = partial(_ties_around_cut, keep=keep, most=most, limit=min(limits.usual_zone, SMALLEST_ZONE))
    buckets, zones = _find_zones(keys, candidate, zones_of, limits, ties_of=ties_of)
    first, cut, _ = _buckets_around_cut(buckets, keep, most)
    high = scratch.empty(keys.samples, np.bool_)
    order = ordered_members(keys, zones, candidate=candidate, limits=limits, before=high, scratch=scratch)
    above = int(buckets.total[:first].sum())
    near = int(buckets.total[first : cut + 1].sum())  # up to here `order` has all samples, from here only candidates
    kept, dropped = order[: keep - above], order[keep - above : near]
    dropped = dropped if candidate is None else dropped[candidate[dropped]]
    begin = near - len(dropped)
    order[begin:near] = dropped  # so that all dropped candidates lie side by side
    lowest = min(len(order) - begin, keep, most)
    high[kept[: len(kept) - lowest]] = True
    return Partition(
        high=_marked_indices(high, keep - lowest, limits.workers, scratch),
        low=kept[len(kept) - lowest :],
        partners=order[begin : begin + lowest],
        score_cut=score_of(keys.key(int(kept[-1]))),
        never_visited=buckets.never_visited,
    )


def _zones_around_cut(buckets: Buckets, *, keep: int, most: int, limit: int) -> list[Zone]:
    """Return zones with all samples from the top of K1L to the cut, then with the candidates that may be partners."""
    first, cut, end = _buckets_around_cut(buckets, keep, most)
    to_cut = cut_zones(buckets, first, cut + 1, candidates=False, limit=limit)
    return to_cut + cut_zones(buckets, cut + 1, end, candidates=True, limit=limit)


def _ties_around_cut(buckets: Buckets, *, keep: int, most: int, limit: int) -> list[int]:
    """Return the buckets of one key and more than `limit` samples of which only some are needed."""
    first, cut, end = _buckets_around_cut(buckets, keep, most)
    return [
        bucket for bucket in sorted({first, cut, end - 1}) if buckets.one_key(bucket) and buckets.total[bucket] > limit
    ]


def _buckets_around_cut(buckets: Buckets, keep: int, most: int) -> tuple[int, int, int]:
    """Find the buckets that matter when the first K = `keep` samples are kept and at most `most` are blended.

    Returns
    -------
    first, cut, end
        The first bucket that K1L may begin in, the bucket of the last kept sample, and the end (exclusive) of the
        buckets that partners may be in.
    """
    cut = buckets.of_rank(keep - 1)
    beyond = np.cumsum(buckets.candidates[cut + 1 :])
    found = int(beyond[-1] if len(beyond) else 0) + int(buckets.candidates[cut])
    most = min(most, found, keep, int(buckets.total.sum()) - keep)
    first = min(buckets.of_rank(keep - most), cut)
    return first, cut, min(cut + 2 + int(np.searchsorted(beyond, most)), len(buckets.lower))


def _find_zones(
    keys: KeyChunks,
    candidate: NDArray[np.bool_] | None,
    zones_of: Callable[[Buckets], list[Zone]],
    limits: Limits,
    *,
    ties_of: Callable[[Buckets], list[int]] | None = None,
) -> tuple[Buckets, list[Zone]]:
    """Count keys finely enough that each zone of `zones_of(buckets)` is within `limits` or of one key.

    Parameters
    ----------
    ties_of
        Returns the buckets of one key that are to be cut finer, too.

    Returns
    -------
    buckets, zones
        These counts and the zones of them.
    """
    buckets = count_keys(keys, candidate)
    while True:
        zones = zones_of(buckets)
        large = [zone.lower for zone in zones if zone.count > limits.largest_zone and not zone.one_key]
        which = np.searchsorted(buckets.lower, np.array(large, dtype=np.uint64)).tolist()
        which = sorted({*which, *(ties_of(buckets) if ties_of is not None else ())})
        if not which:
            return buckets, zones
        buckets = refine(keys, buckets, which[:REFINED_AT_ONCE], candidate)


def _marked_indices(mark: NDArray[np.bool_], count: int, workers: int, scratch: Scratch) -> NDArray[np.integer]:
    """Return the `count` indices at which `mark[N]` is True, ascending."""
    out = scratch.empty(count, index_type(len(mark)))
    starts = range(0, len(mark), BLOCK)
    ends = np.cumsum([np.count_nonzero(mark[start : start + BLOCK]) for start in starts]).tolist()

    def fill(start: int, begin: int, end: int) -> None:
        out[begin:end] = np.flatnonzero(mark[start : start + BLOCK])
        out[begin:end] += start

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(fill, starts, [0, *ends[:-1]], ends))
    return out
