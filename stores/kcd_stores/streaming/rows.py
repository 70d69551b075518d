"""Chosen rows of a view, read in pieces, so that decoding never takes much more memory than what is asked for."""

import mmap
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.store import PIECE_BYTES, KnowledgeStore
from kcd_stores.storage.location import AT_ONCE


def new_rows(count: int, store: KnowledgeStore) -> NDArray[Any]:
    """Room for `count` rows `[count, C]`, taken from the operating system, and given back to it, all at once.

    The allocator of C would keep large arrays that were freed for later ones, and a peak would be a third window high.
    """
    room = mmap.mmap(-1, max(count * store.row_bytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # pages of 4 kB cost more to get than rows to decode
        with suppress(OSError):  # a kernel without them
            room.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(room, store.dtype, count * store.columns).reshape(count, store.columns)


def spans(read: NDArray[np.int64], strip_rows: int, piece_rows: int) -> list[tuple[int, int]]:
    """Slices `[lo, hi)` of `read` (ascending), each of neighbouring strips of one piece: what is read in one request.

    A piece is `max(piece_rows // strip_rows, 1)` strips.
    """
    if not len(read):
        return []
    strip = read // strip_rows
    piece = strip // max(piece_rows // strip_rows, 1)
    cuts = np.flatnonzero((np.diff(strip) > 1) | (np.diff(piece) > 0)) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(read)], strict=True))


def _piece_rows(store: KnowledgeStore) -> int:
    """Rows of one piece: whole chunks up to PIECE_BYTES."""
    chunk, fit = store.layout.chunk_rows, max(PIECE_BYTES // store.row_bytes, 1)
    return max(fit // chunk, 1) * chunk if fit >= chunk else fit


def read_pieces(
    store: KnowledgeStore, view: int, read: NDArray[np.int64], strip_rows: int
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield `(slice of read, rows)`: the rows of the samples `read` (ascending), piece by piece, ascending.

    Only strips that hold one of them are read; of a remote store several at a time, for each costs a round trip.
    Raises as `KnowledgeStore.read_view` does.
    """

    def piece(span: tuple[int, int]) -> tuple[slice, NDArray[Any]]:
        lo, hi = span
        first, stop = int(read[lo]), int(read[hi - 1]) + 1
        rows = store.read_rows(view, first, stop)
        neighbours = bool((np.diff(read[lo:hi]) == 1).all())
        return slice(lo, hi), rows if neighbours else rows[read[lo:hi] - first]

    todo = spans(read, strip_rows, _piece_rows(store))
    if store.location.is_local:
        yield from map(piece, todo)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ahead: deque[Future[tuple[slice, NDArray[Any]]]] = deque()
        for span in todo:
            ahead.append(pool.submit(piece, span))
            if len(ahead) == AT_ONCE:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()


def read_whole(store: KnowledgeStore, view: int, needed: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """All rows of a view, `[N, C]`; as `KnowledgeStore.read_view`, in memory that is given back at once.

    Where `needed[N]` says which samples matter, chunks that hold none of them are not read: their rows are NaN.
    """
    layout = store.layout
    rows = new_rows(layout.samples, store)
    if needed is None:
        return store.read_rows(view, 0, layout.samples, out=rows)
    wanted = np.logical_or.reduceat(needed, np.arange(0, layout.samples, layout.chunk_rows))
    cuts = [0, *(np.flatnonzero(np.diff(wanted)) + 1).tolist(), len(wanted)]
    for first, last in pairwise(cuts):
        start, stop = first * layout.chunk_rows, min(last * layout.chunk_rows, layout.samples)
        if wanted[first]:
            store.read_rows(view, start, stop, out=rows[start:stop])
        else:
            rows[start:stop] = np.nan
    return rows


class ViewRows:
    """Rows `[N, C]` of a whole view, looked up by sample."""

    def __init__(self, rows: NDArray[Any]) -> None:
        self.rows = rows

    def places(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in `rows` those of samples `index[B]` are."""
        return index

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[Any]:
        """Rows `[B, C]` of samples `index[B]`."""
        return self.rows.take(index, axis=0)  # three times as fast as indexing


class HeldRows:
    """Rows `[n, C]` of the samples `held[n]` (ascending), looked up by sample."""

    def __init__(self, held: NDArray[np.int64], rows: NDArray[Any]) -> None:
        self.held, self.rows = held, rows

    def places(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in `rows` those of samples `index[B]` are; IndexError for one that is not held."""
        place = np.searchsorted(self.held, index)
        if len(index) and (place.max() >= len(self.held) or (self.held[place] != index).any()):
            raise IndexError("a row that this stream does not hold was asked for")
        return place

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[Any]:
        """Rows `[B, C]` of samples `index[B]`; IndexError for one that is not held."""
        return self.rows.take(self.places(index), axis=0)
