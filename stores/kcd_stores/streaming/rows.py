"""Rows of chosen samples of a view: read in pieces, held packed, decoded when they are looked up by sample.

The memory that holds them is returned at once. Letters: N samples, C columns of a row, W bytes of a packed row, n rows
held, m samples asked for.
"""

import mmap
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Packing
from kcd_stores.sizes import PIECE_BYTES
from kcd_stores.streaming.protocol import RowSource

NOT_HELD = "a row that this stream does not hold was asked for"


def new_rows(count: int, store: RowSource) -> NDArray[np.uint8]:
    """Return an array `[count, W]` of zeros, for packed rows, whose memory comes from the operating system.

    Its memory goes back to the operating system as soon as it is freed. The allocator of C would keep large arrays for
    later ones, and the peak would be higher by a third window.
    """
    width = store.packing.row_bytes
    room = mmap.mmap(-1, max(count * width, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # it takes longer to get pages of 4 kB than to decompress their rows
        with suppress(OSError):  # a kernel without huge pages
            room.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(room, np.uint8, count * width).reshape(count, width)


def piece_limit(store: RowSource) -> int:
    """Return how many packed rows fit into PIECE_BYTES, at least 1."""
    return max(PIECE_BYTES // store.packing.row_bytes, 1)


def spans(read: NDArray[np.int64], strip_rows: int, piece_rows: int) -> list[tuple[int, int]]:
    """Return the slices `[lo, hi)` of the samples `read` (ascending) that are read by one request each.

    A slice has samples of neighbouring strips that lie in the same piece. A piece is `max(piece_rows // strip_rows, 1)`
    strips.
    """
    if not len(read):
        return []
    strip = read // strip_rows
    piece = strip // max(piece_rows // strip_rows, 1)
    cuts = np.flatnonzero((np.diff(strip) > 1) | (np.diff(piece) > 0)) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(read)], strict=True))


def piece_spans(store: RowSource, read: NDArray[np.int64], strip_rows: int) -> list[tuple[int, int]]:
    """Return the spans by which `read_pieces` reads: a piece has as many whole chunks as fit, or a part of one."""
    chunk, fit = store.layout.chunk_rows, piece_limit(store)
    return spans(read, strip_rows, fit // chunk * chunk if fit >= chunk else fit)


def read_pieces(
    store: RowSource, view: int, read: NDArray[np.int64], strip_rows: int
) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Read the packed rows of the samples `read[m]` (ascending) of a view, and yield them piece by piece.

    Only strips that hold one of the samples are read, so that little memory is taken beside the rows yielded.

    Yields
    ------
    slice
        The part of `read` whose rows these are; parts are ascending and cover `read`.
    rows
        Their rows, `[len(part), W]`.

    Raises
    ------
    CorruptStoreError, IncompleteStoreError
        As `read_packed` of the store does.
    """
    todo = piece_spans(store, read, strip_rows)
    at_once = store.concurrent_reads
    if at_once == 1:
        for span in todo:
            yield _read_span(store, view, read, span)
        return
    with ThreadPoolExecutor(at_once) as pool:
        ahead: deque[Future[tuple[slice, NDArray[np.uint8]]]] = deque()
        for span in todo:
            ahead.append(pool.submit(_read_span, store, view, read, span))
            if len(ahead) == at_once:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()


def _read_span(
    store: RowSource, view: int, read: NDArray[np.int64], span: tuple[int, int]
) -> tuple[slice, NDArray[np.uint8]]:
    """Return the slice `[lo, hi)` of `read` and the packed rows of its samples."""
    lo, hi = span
    first, stop = int(read[lo]), int(read[hi - 1]) + 1
    rows = store.read_packed(view, first, stop)
    neighbours = bool((np.diff(read[lo:hi]) == 1).all())
    return slice(lo, hi), rows if neighbours else rows[read[lo:hi] - first]


def read_whole(store: RowSource, view: int, needed: NDArray[np.bool_] | None = None) -> "ViewRows":
    """Read a view.

    Parameters
    ----------
    needed
        `[N]` bool: samples that will be looked up; all samples if None. Chunks that hold none of them are not read.

    Raises
    ------
    CorruptStoreError, IncompleteStoreError
        As `read_packed` of the store does.
    """
    layout = store.layout
    rows = new_rows(layout.samples, store)
    if needed is None:
        return ViewRows(store.read_packed(view, 0, layout.samples, rows), store.packing)
    wanted = np.logical_or.reduceat(needed, np.arange(0, layout.samples, layout.chunk_rows))
    cuts = [0, *(np.flatnonzero(np.diff(wanted)) + 1).tolist(), len(wanted)]
    for first, last in pairwise(cuts):
        if wanted[first]:
            start, stop = first * layout.chunk_rows, min(last * layout.chunk_rows, layout.samples)
            store.read_packed(view, start, stop, rows[start:stop])
    return ViewRows(rows, store.packing, needed)


class PackedRows:
    """Base of rows that are held packed, `[n, W]`, and decoded when they are looked up.

    Parameters
    ----------
    rows
        `[n, W]` uint8 with a packing; without one, decoded rows `[n, C]`.
    packing
        The form of packed rows.
    """

    def __init__(self, rows: NDArray[Any], packing: Packing | None = None) -> None:
        self.rows, self.packing = rows, packing

    def places(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places `[m]` int64 in `rows` of the samples `index[m]`.

        Raises
        ------
        IndexError
            If one of them is not held.
        """
        raise NotImplementedError

    def taken(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of the samples `index[m]` as they are held: `[m, W]`, or `[m, C]` without a packing.

        Raises
        ------
        IndexError
            If one of them is not held.
        """
        return self.rows.take(self.places(index), axis=0)  # three times as fast as indexing

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[Any]:
        """Return the decoded rows `[m, C]` of the samples `index[m]`; raise IndexError if one of them is not held."""
        taken = self.taken(index)
        return taken if self.packing is None else self.packing.decode(taken)


class ViewRows(PackedRows):
    """Rows of a whole view, looked up by sample.

    Parameters
    ----------
    rows, packing
        The rows of all N samples, as for `PackedRows`.
    held
        `[N] bool`: samples whose rows were read; all of them if None.
    """

    def __init__(
        self, rows: NDArray[Any], packing: Packing | None = None, held: NDArray[np.bool_] | None = None
    ) -> None:
        super().__init__(rows, packing)
        self.held = held

    def places(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.held is not None and not self.held[index].all():
            raise IndexError(NOT_HELD)
        return index


class HeldRows(PackedRows):
    """Rows of some samples, looked up by sample.

    Parameters
    ----------
    held
        `[n]` int64, ascending: the samples.
    rows, packing
        Their rows, as for `PackedRows`.
    """

    def __init__(self, held: NDArray[np.int64], rows: NDArray[Any], packing: Packing | None = None) -> None:
        super().__init__(rows, packing)
        self.held = held

    def places(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        place = np.searchsorted(self.held, index)
        if len(index) and (place.max() >= len(self.held) or (self.held[place] != index).any()):
            raise IndexError(NOT_HELD)
        return place
