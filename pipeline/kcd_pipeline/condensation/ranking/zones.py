"""Contiguous stretches of a ranking, each gathered and put in order on its own.

Samples with equal keys are in one zone, or in several by ascending index. So zones in order, each of them in order, are
the ranking. Letters: N samples, Z zones, m members of zones, n samples of a chunk.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.buckets import Buckets
from kcd_pipeline.condensation.ranking.budget import Limits
from kcd_pipeline.condensation.ranking.chunks import KeyChunks
from kcd_pipeline.condensation.ranking.keys import order_of
from kcd_stores.scratch import IN_MEMORY, Scratch


@dataclass(frozen=True, kw_only=True)
class Zone:
    """All samples, or only all `candidates`, of a range of ranks; exactly `count` of them.

    It begins with key `lower`, of whose samples it has those from index `begin` on, and ends with key `last`, of whose
    samples it has those below index `end`.
    """

    lower: int
    last: int
    begin: int
    end: int
    count: int
    candidates: bool

    @property
    def one_key(self) -> bool:
        """True if all members tie, and so are in order already."""
        return self.lower == self.last


def cut_zones(buckets: Buckets, begin: int, end: int, *, candidates: bool, limit: int) -> list[Zone]:
    """Cut buckets `begin` to `end` (exclusive) into zones of up to `limit` members.

    A bucket with more members is a zone of its own.
    """
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
    return Zone(
        lower=int(buckets.lower[first]),
        last=int(buckets.last[last]),
        begin=int(buckets.begin[first]),
        end=int(buckets.end[last]),
        count=count,
        candidates=candidates,
    )


def ordered_members(
    keys: KeyChunks,
    zones: Sequence[Zone],
    *,
    candidate: NDArray[np.bool_] | None,
    limits: Limits,
    before: NDArray[np.bool_] | None = None,
    scratch: Scratch = IN_MEMORY,
) -> NDArray[np.integer]:
    """Return the members of `zones` in order of rank: `[m]` indices of samples, of `index_type(N)`.

    One pass gathers as many zones as `limits` allow.

    Parameters
    ----------
    candidate
        `[N]`: which samples are candidates; None if all are.
    before
        `[N]`, if given: set to True where a sample ranks before all `zones`, else to False, in the first pass. There
        must be at least one zone.
    scratch
        Place of what is returned.
    """
    out = scratch.empty(sum(zone.count for zone in zones), index_type(keys.samples))
    done = 0
    for batch in _batches(zones, limits.batch):
        members = out[done : done + sum(zone.count for zone in batch)]
        picker = ZonePicker(batch, candidate=candidate, before=before, dtype=out.dtype)
        _fill_zones(keys, batch, picker, members, limits.workers)
        done, before = done + len(members), None
    return out


def index_type(samples: int) -> type[np.signedinteger]:
    """Return the dtype of indices of N `samples`: int32 if it can hold them, else int64."""
    return np.int32 if samples <= np.iinfo(np.int32).max else np.int64


def _batches(zones: Sequence[Zone], limit: int) -> Iterator[list[Zone]]:
    """Yield neighbouring zones that need at most `limit` keys together; a zone of one key needs none."""
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
class ChunkMembers:
    """The members of some zones in one chunk: `index[m]` and `keys[m]`, zone by zone, with `counts[Z]` of each."""

    index: NDArray[np.integer]
    keys: NDArray[np.uint64]
    counts: list[int]


class ZonePicker:
    """Picks the members of neighbouring `zones` out of a chunk of keys.

    Parameters
    ----------
    candidate, before
        As in `ordered_members`.
    dtype
        Of the indices.
    """

    def __init__(
        self,
        zones: list[Zone],
        *,
        candidate: NDArray[np.bool_] | None,
        before: NDArray[np.bool_] | None,
        dtype: np.dtype[Any],
    ) -> None:
        self._candidate, self._before, self._dtype, self._zones = candidate, before, dtype, len(zones)
        self._begin, self._end = (zones[0].lower, zones[0].begin), (zones[-1].last, zones[-1].end)
        self._later = [(zone.lower, zone.begin) for zone in zones[1:]]
        # the end of the zones of all samples: after it, zones are of candidates only
        self._whole = max(((zone.last, zone.end) for zone in zones if not zone.candidates), default=(0, 0))
        self._number_type = np.uint8 if len(zones) <= 256 else np.int64  # numpy sorts bytes by counting them

    def __call__(self, chunk: NDArray[np.uint64], samples: slice) -> ChunkMembers:
        """Return the members among `samples`, whose keys are `chunk[n]`; in each zone by ascending index."""
        marks = None if self._before is None else self._before[samples]
        before = _before(chunk, self._begin[0], split=self._begin[1] - samples.start, out=marks)
        inside = _before(chunk, self._end[0], split=self._end[1] - samples.start)
        inside &= ~before
        if self._candidate is not None and self._whole < self._end:
            whole = _before(chunk, self._whole[0], split=self._whole[1] - samples.start)
            inside &= self._candidate[samples] | whole
        at = np.flatnonzero(inside)
        keys = chunk[at]
        zone: NDArray[Any] = np.zeros(len(at), dtype=self._number_type)
        for lower, begin in self._later:
            zone += ~_before(keys, lower, split=int(np.searchsorted(at, begin - samples.start)))
        order = np.argsort(zone, kind="stable")
        return ChunkMembers(
            index=(at[order] + samples.start).astype(self._dtype),
            keys=keys[order],
            counts=np.bincount(zone, minlength=self._zones).tolist(),
        )


def _before(
    keys: NDArray[np.uint64], key: int, *, split: int, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return which of `keys[m]` rank before a place: those below `key` and, of the first `split`, those equal to it."""
    split = min(max(split, 0), len(keys))
    before = np.empty(len(keys), dtype=bool) if out is None else out
    np.less_equal(keys[:split], np.uint64(key), out=before[:split])
    np.less(keys[split:], np.uint64(key), out=before[split:])
    return before


def _fill_zones(keys: KeyChunks, zones: list[Zone], picker: ZonePicker, out: NDArray[np.integer], workers: int) -> None:
    """Write the members of `zones` to `out[m]` in order of rank, and free their keys before other zones need room."""
    held = _gather(keys, zones, picker, out)
    _sort_zones(zones, held, out, workers)


def _gather(keys: KeyChunks, zones: list[Zone], picker: ZonePicker, out: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Write the members of `zones` to `out[m]`, zone by zone and by ascending index, in one pass.

    Returns
    -------
    held
        `[m]`: their keys; left unset for zones of one key, and empty if all zones are.
    """
    held = np.empty(0 if all(zone.one_key for zone in zones) else len(out), dtype=np.uint64)
    filled = [start for start, _ in pairwise(_bounds(zones))]
    for members in keys.map_chunks(picker):
        first = 0
        for number, count in enumerate(members.counts):
            source, target = slice(first, first + count), slice(filled[number], filled[number] + count)
            out[target] = members.index[source]
            if not zones[number].one_key:
                held[target] = members.keys[source]
            first, filled[number] = source.stop, target.stop
    return held


def _sort_zones(zones: list[Zone], held: NDArray[np.uint64], out: NDArray[np.integer], workers: int) -> None:
    """Put `out[m]`, the members of `zones` with keys `held[m]`, in order within each zone."""

    def sort(members: slice) -> None:
        out[members] = out[members][order_of(held[members])]

    bounds = pairwise(_bounds(zones))
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(sort, [slice(*bound) for bound, zone in zip(bounds, zones, strict=True) if not zone.one_key]))


def _bounds(zones: list[Zone]) -> list[int]:
    """Return where each zone begins among the members of all `zones`, and where the last one ends."""
    return [0, *np.cumsum([zone.count for zone in zones]).tolist()]
