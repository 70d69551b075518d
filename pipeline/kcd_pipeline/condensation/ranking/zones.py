"""Contiguous stretches of a ranking, each gathered and put in order on its own. Letters: N samples, Z zones, m members.

Equal keys never lie in two zones, so zones in order, each in order, are the ranking.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.buckets import Buckets
from kcd_pipeline.condensation.ranking.budget import Limits
from kcd_pipeline.condensation.ranking.chunks import KeyChunks
from kcd_pipeline.condensation.ranking.keys import order_of


@dataclass(frozen=True, kw_only=True)
class Zone:
    """All samples, or all candidates, with keys from `lower` to `last`: `count` of them, exactly."""

    lower: int
    last: int
    count: int
    candidates: bool

    @property
    def one_key(self) -> bool:
        """All members tie, and are in order as they come."""
        return self.lower == self.last


def cut_zones(buckets: Buckets, begin: int, end: int, *, candidates: bool, limit: int) -> list[Zone]:
    """Buckets `begin` to `end` (exclusive) as zones of up to `limit` members; a bucket with more is one of its own."""
    counts = (buckets.candidates if candidates else buckets.total)[:end].tolist()
    zones: list[Zone] = []
    members, first = 0, begin
    for bucket in range(begin, end):
        if members and members + counts[bucket] > limit:
            zones.append(_zone(buckets, first, bucket - 1, members, candidates))
            members = 0
        if not members:
            first = bucket
        members += counts[bucket]
    if members:
        zones.append(_zone(buckets, first, end - 1, members, candidates))
    return zones


def _zone(buckets: Buckets, first: int, last: int, count: int, candidates: bool) -> Zone:
    return Zone(lower=int(buckets.lower[first]), last=int(buckets.last[last]), count=count, candidates=candidates)


def in_order(
    keys: KeyChunks,
    zones: Sequence[Zone],
    *,
    candidate: NDArray[np.bool_] | None,
    limits: Limits,
    before: NDArray[np.bool_] | None = None,
) -> NDArray[np.integer]:
    """The members of `zones`, in order: `[m]` indices of samples.

    One pass for as many zones as `limits` allow. `before[N]`, where given, is set in the first pass to what ranks
    before all of `zones`, of which there is then at least one.
    """
    out = np.empty(sum(zone.count for zone in zones), dtype=index_type(keys.samples))
    done = 0
    for batch in _batches(zones, limits.batch):
        members = sum(zone.count for zone in batch)
        _fill(keys, batch, out[done : done + members], candidate, limits.workers, before)
        done, before = done + members, None
    return out


def index_type(samples: int) -> type[np.signedinteger]:
    """What holds an index: int32 where that is enough."""
    return np.int32 if samples <= np.iinfo(np.int32).max else np.int64


def _batches(zones: Sequence[Zone], limit: int) -> Iterator[list[Zone]]:
    """Neighbours whose keys, together, are at most `limit`; those of a zone that is one key are not held."""
    batch: list[Zone] = []
    held = 0
    for zone in zones:
        more = 0 if zone.one_key else zone.count
        if batch and held + more > limit:
            yield batch
            batch, held = [], 0
        batch.append(zone)
        held += more
    if batch:
        yield batch


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The members of some zones in one chunk: `index[m]` and `keys[m]`, zone by zone, and how many are of each."""

    index: NDArray[np.integer]
    keys: NDArray[np.uint64]
    counts: list[int]


def _fill(
    keys: KeyChunks,
    zones: list[Zone],
    out: NDArray[np.integer],
    candidate: NDArray[np.bool_] | None,
    workers: int,
    before: NDArray[np.bool_] | None,
) -> None:
    """`out[m]`: the members of `zones` in order, in one pass."""
    begin, end = np.uint64(zones[0].lower), np.uint64(zones[-1].last)
    later = [np.uint64(zone.lower) for zone in zones[1:]]
    whole = np.uint64(max((zone.last for zone in zones if not zone.candidates), default=0))  # then candidates only
    numbers = np.uint8 if len(zones) <= 256 else np.int64  # numpy sorts bytes by counting them

    def gathered(chunk: NDArray[np.uint64], samples: slice) -> Part:
        if before is not None:
            np.less(chunk, begin, out=before[samples])
        inside = chunk >= begin
        inside &= chunk <= end
        if candidate is not None and whole < end:
            inside &= candidate[samples] | (chunk <= whole)
        at = np.flatnonzero(inside)
        near = chunk[at]
        zone: NDArray[Any] = np.zeros(len(at), dtype=numbers)
        for lower in later:
            zone += near >= lower
        order = np.argsort(zone, kind="stable")
        index = (at[order] + samples.start).astype(out.dtype)
        return Part(index=index, keys=near[order], counts=np.bincount(zone, minlength=len(zones)).tolist())

    ends = np.cumsum([zone.count for zone in zones]).tolist()
    filled = [0, *ends[:-1]]
    held = np.empty(0 if all(zone.one_key for zone in zones) else ends[-1], dtype=np.uint64)
    for part in keys.each(gathered):
        first = 0
        for number, count in enumerate(part.counts):
            here, there = slice(first, first + count), slice(filled[number], filled[number] + count)
            out[there] = part.index[here]
            if not zones[number].one_key:
                held[there] = part.keys[here]
            first, filled[number] = here.stop, there.stop

    def arranged(number: int) -> None:
        members = slice(ends[number] - zones[number].count, ends[number])
        out[members] = out[members][order_of(held[members])]

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(arranged, [number for number, zone in enumerate(zones) if not zone.one_key]))
