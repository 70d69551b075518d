"""Exact ranking of chunked scores, lazily with dask, within a memory budget, sorting no more than is asked for.

The order is descending score, ties by ascending index. Scores become unsigned integer keys that sort the same way. A
pass over the chunks counts them by their leading bits, which tells between which keys the ranks of interest lie; the
next one gathers what lies there, and only that is put in order. Letters: N samples, K kept, L perturbed.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.buckets import AT_ONCE, Buckets, count_keys, refine
from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY, Limits, plan_ranking
from kcd_pipeline.condensation.ranking.chunks import KeyChunks
from kcd_pipeline.condensation.ranking.keys import score_of
from kcd_pipeline.condensation.ranking.zones import Zone, cut_zones, in_order, index_type

BLOCK = 1 << 18  # samples whose marks become indices at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """K1H, K1L and the dropped samples that K1L is paired with; indices are int32 where N allows it.

    Attributes
    ----------
    high
        `[K - L]`: K1H, ascending indices.
    low
        `[L]`: K1L, by descending rank (the most valuable first).
    partners
        `[L]`: of the dropped candidates the L most valuable, by descending rank.
    score_cut
        The score of the last sample that is kept.
    never_visited
        How many samples score -inf.
    """

    high: NDArray[np.integer]
    low: NDArray[np.integer]
    partners: NDArray[np.integer]
    score_cut: float
    never_visited: int


def ranked(scores: da.Array, *, memory: int = DEFAULT_MEMORY) -> NDArray[np.integer]:
    """All samples by descending score, ties by index: `order[N]`, int32 where N allows it; `rank[order] = 0 .. N-1`.

    Exact, whatever the chunks. A condensation does not need it, and costs less: see `select`.

    Parameters
    ----------
    scores
        `[N]` float64, chunked.
    memory
        Bytes that the ranking may take, the order itself included.

    Raises
    ------
    ValueError
        If a score is NaN.
    StoreUsageError
        If it cannot be done in `memory`.
    """
    samples = int(scores.size)
    limits = plan_ranking(samples=samples, chunk=_largest(scores), ordered=samples, plain=0, memory=memory)
    return ranked_within(scores, limits)


def ranked_within(scores: da.Array, limits: Limits) -> NDArray[np.integer]:
    """`ranked`, at so much at a time."""
    keys = KeyChunks(scores, workers=limits.workers, held=limits.held)

    def everything(buckets: Buckets) -> list[Zone]:
        return cut_zones(buckets, 0, len(buckets.lower), candidates=False, limit=limits.comfortable)

    _, zones = _zones(keys, None, everything, limits)
    return in_order(keys, zones, candidate=None, limits=limits)


def select(
    scores: da.Array, *, keep: int, candidate: NDArray[np.bool_] | None, memory: int = DEFAULT_MEMORY
) -> Partition:
    """What the first `keep` are and which of them are lowest, L: as many as there are candidates among the others.

    Parameters
    ----------
    scores
        `[N]` float64, chunked.
    keep
        K, 1 to N.
    candidate
        `[N]`; None: all are.
    memory
        Bytes that this may take: `candidate`, its own copies of scores and the indices that it returns included.

    Notes
    -----
    L = min(candidates that are not kept, K).

    Raises
    ------
    ValueError
        If a score is NaN, or `keep` is out of range.
    StoreUsageError
        If it cannot be done in `memory`.
    """
    samples = int(scores.size)
    if not 0 < keep <= samples:
        raise ValueError(f"keep must be 1 to {samples}, got {keep}")
    dropped = samples - keep if candidate is None else min(samples - keep, int(np.count_nonzero(candidate)))
    most = min(dropped, keep)
    limits = plan_ranking(samples=samples, chunk=_largest(scores), ordered=2 * most, plain=keep, memory=memory)
    return select_within(scores, keep=keep, candidate=candidate, limits=limits)


def select_within(scores: da.Array, *, keep: int, candidate: NDArray[np.bool_] | None, limits: Limits) -> Partition:
    """`select`, at so much at a time."""
    keys = KeyChunks(scores, workers=limits.workers, held=limits.held)
    limit = limits.comfortable

    def around_the_cut(buckets: Buckets) -> list[Zone]:
        first, cut, end = _spans(buckets, keep)
        kept_or_near = cut_zones(buckets, first, cut + 1, candidates=False, limit=limit)
        return kept_or_near + cut_zones(buckets, cut + 1, end, candidates=True, limit=limit)

    buckets, zones = _zones(keys, candidate, around_the_cut, limits)
    first, cut, _ = _spans(buckets, keep)
    high = np.empty(keys.samples, dtype=bool)
    order = in_order(keys, zones, candidate=candidate, limits=limits, before=high)
    above = int(buckets.total[:first].sum())
    near = int(buckets.total[first : cut + 1].sum())  # in order whole; only the candidates of what follows are
    around, out = order[: keep - above], order[keep - above : near]
    out = out if candidate is None else out[candidate[out]]
    begin = near - len(out)
    order[begin:near] = out  # next to those that follow
    lowest = min(len(order) - begin, keep)
    high[around[: len(around) - lowest]] = True
    return Partition(
        high=_indices(high, keep - lowest, limits.workers),
        low=around[len(around) - lowest :],
        partners=order[begin : begin + lowest],
        score_cut=score_of(keys.key(int(around[-1]))),
        never_visited=buckets.never,
    )


def _spans(buckets: Buckets, keep: int) -> tuple[int, int, int]:
    """The first bucket that K1L may begin in, the one that the last kept is in, the end of what may be blended."""
    cut = buckets.holding(keep - 1)
    beyond = np.cumsum(buckets.candidates[cut + 1 :])
    most = int(beyond[-1] if len(beyond) else 0) + int(buckets.candidates[cut])
    most = min(most, keep, int(buckets.total.sum()) - keep)
    first = min(buckets.holding(keep - most), cut)
    return first, cut, min(cut + 2 + int(np.searchsorted(beyond, most)), len(buckets.lower))


def _zones(
    keys: KeyChunks,
    candidate: NDArray[np.bool_] | None,
    wanted: Callable[[Buckets], list[Zone]],
    limits: Limits,
) -> tuple[Buckets, list[Zone]]:
    """Counts fine enough for the zones `wanted` of them to be within the limits (or of one key), and those zones."""
    buckets = count_keys(keys, candidate)
    while True:
        zones = wanted(buckets)
        large = [zone.lower for zone in zones if zone.count > limits.zone and not zone.one_key]
        if not large:
            return buckets, zones
        which = np.searchsorted(buckets.lower, np.array(large[:AT_ONCE], dtype=np.uint64))
        buckets = refine(keys, buckets, which.tolist(), candidate)


def _indices(mark: NDArray[np.bool_], count: int, workers: int) -> NDArray[np.integer]:
    """Where `mark[N]` is set, `count` times: ascending indices."""
    out = np.empty(count, dtype=index_type(len(mark)))
    starts = range(0, len(mark), BLOCK)
    ends = np.cumsum([np.count_nonzero(mark[start : start + BLOCK]) for start in starts]).tolist()

    def found(start: int, begin: int, end: int) -> None:
        out[begin:end] = np.flatnonzero(mark[start : start + BLOCK])
        out[begin:end] += start

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(found, starts, [0, *ends[:-1]], ends))
    return out


def _largest(scores: da.Array) -> int:
    return max(scores.chunks[0])
