"""Reading that is dealt out to ranks: each chunk is read by one rank, which sends its rows to the ranks that need them.

The samples that each rank needs are a function of the plan, so that all ranks know them. Their union is cut at chunk
boundaries into a *run* of samples for each rank. A rank reads its run alone, in *rounds* of about a piece. After each
round, ranks exchange the rows that they have read. Every rank works out the sizes of what it gets, and takes part in
the same exchanges as all others, whether or not it has anything to send.

Letters: R ranks, m samples, W bytes of a packed row.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_stores.streaming.order import Share
from kcd_stores.streaming.protocol import RowSource
from kcd_stores.streaming.rows import piece_limit, piece_spans, read_pieces


class Exchange(Protocol):
    """Sends rows from each rank to each other one. All ranks must make the same calls, from one thread at a time."""

    def swap(self, rows: NDArray[np.uint8], sent: Sequence[int], received: Sequence[int]) -> NDArray[np.uint8]:
        """Send some of `rows[m, W]` to each rank; return the rows that come from each, `[sum(received), W]`.

        Parameters
        ----------
        sent
            How many of the rows go to each rank, in order of ranks; m in all.
        received
            How many come from each rank.
        """
        ...


def read_needed(
    store: RowSource,
    view: int,
    needed: Callable[[Share], NDArray[np.int64]],
    strip_rows: int,
    *,
    share: Share,
    exchange: Exchange | None,
) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Read the packed rows of a view that the rank of `share` needs, and yield them piece by piece.

    Without an exchange, the rank reads all of them itself. With one, all ranks must call this together.

    Parameters
    ----------
    needed
        Returns the samples that the rank of a share needs, ascending, `[m]` int64; some may occur several times.

    Yields
    ------
    slice
        The part of `needed(share)` whose rows these are; in no certain order, parts cover it.
    rows
        Their rows, `[len(part), W]`.

    Raises
    ------
    CorruptStoreError, IncompleteStoreError
        As `read_packed` of the store does, for what this rank reads.
    """
    if exchange is None:
        yield from read_pieces(store, view, needed(share), strip_rows)
        return
    needs = [needed(Share(rank=rank, ranks=share.ranks)) for rank in range(share.ranks)]
    runs = cut_runs(np.unique(np.concatenate(needs)), store.layout.chunk_rows, share.ranks)
    ends = [_round_ends(run, strip_rows, store) for run in runs]
    pieces = read_pieces(store, view, runs[share.rank], strip_rows)
    for number in range(max(map(len, ends))):
        read = [_part(run, [0, *stops], number) for run, stops in zip(runs, ends, strict=True)]
        yield from _round(read, needs, pieces, share.rank, exchange, store.packing.row_bytes)


def cut_runs(samples: NDArray[np.int64], chunk_rows: int, ranks: int) -> list[NDArray[np.int64]]:
    """Cut `samples` (ascending) into a run for each rank; runs have about equally many chunks and share none."""
    chunks = np.flatnonzero(np.diff(samples // chunk_rows, prepend=-1))  # places where a chunk begins
    cuts = np.append(chunks, len(samples))[np.arange(ranks + 1) * len(chunks) // ranks]
    return [samples[start:stop] for start, stop in pairwise(cuts.tolist())]


def _round_ends(run: NDArray[np.int64], strip_rows: int, store: RowSource) -> list[int]:
    """Return the places in `run` where its rounds end: spans are taken together up to a piece."""
    limit, begun, ends = piece_limit(store), 0, list[int]()
    for start, stop in piece_spans(store, run, strip_rows):
        if stop - begun > limit and start > begun:
            ends.append(start)
            begun = start
    return [*ends, len(run)] if len(run) else ends


def _part(run: NDArray[np.int64], cuts: list[int], number: int) -> NDArray[np.int64]:
    """Return the samples of round `number` of a run; none after its last round."""
    return run[cuts[number] : cuts[number + 1]] if number + 1 < len(cuts) else run[:0]


def _round(
    read: list[NDArray[np.int64]],
    needs: list[NDArray[np.int64]],
    pieces: Iterator[tuple[slice, NDArray[np.uint8]]],
    own: int,
    exchange: Exchange,
    row_bytes: int,
) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Read this rank's samples `read[own]` of a round; yield the parts of `needs[own]` that any rank has read in it."""
    rows = _take(pieces, len(read[own]), row_bytes)
    asked = [need[_within(need, read[own])] for need in needs]
    places = [np.searchsorted(read[own], samples) for samples in asked]
    yield _within(needs[own], read[own]), rows.take(places[own], axis=0)
    places[own] = places[own][:0]
    parts = [_within(needs[own], samples) for samples in read]
    parts[own] = slice(0, 0)
    received = [part.stop - part.start for part in parts]
    found = exchange.swap(rows.take(np.concatenate(places), axis=0), [len(part) for part in places], received)
    del rows
    start = 0
    for part, count in zip(parts, received, strict=True):
        yield part, found[start : start + count]
        start += count


def _take(pieces: Iterator[tuple[slice, NDArray[np.uint8]]], count: int, row_bytes: int) -> NDArray[np.uint8]:
    """Return the rows of the next `count` samples, `[count, W]`, which are some whole pieces."""
    taken: list[NDArray[np.uint8]] = []
    while count > 0:
        _, rows = next(pieces)
        taken.append(rows)
        count -= len(rows)
    if len(taken) == 1:
        return taken[0]
    return np.concatenate([np.empty((0, row_bytes), np.uint8), *taken])


def _within(need: NDArray[np.int64], samples: NDArray[np.int64]) -> slice:
    """Return the part of `need` (ascending) that lies between the first and the last of `samples`."""
    if not len(samples):
        return slice(0, 0)
    start, stop = np.searchsorted(need, [samples[0], samples[-1] + 1]).tolist()
    return slice(start, stop)
