"""One array of a store, read fast: chunks are checked, decompressed and unpacked straight into place, in parallel.

What lies on disk is zarr's own, and zarr reads the same from it (a test holds the two against each other). Left to
itself zarr passes each chunk through an event loop and four codecs, at a quarter of the speed. A shard is

    chunk ... chunk   each: blosc(packed elements of `chunk_rows` rows), then its crc32c
    index             [n, 2] uint64, offset and bytes of each chunk (all ones: never written), then its crc32c

(zarr 3, "sharding-indexed codec", index at the end). Letters: V views, N samples, n chunks of a shard.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from threading import local
from typing import Any, TypeVar

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from kcd_stores.checksums import CRC_BYTES, strip_checksum
from kcd_stores.encodings import ArraySpec
from kcd_stores.knowledge.layout import Layout
from kcd_stores.storage.location import AT_ONCE, Location

ENTRY = np.dtype([("offset", "<u8"), ("bytes", "<u8")])
NEVER_WRITTEN = 2**64 - 1
THREADS = min(os.cpu_count() or 1, 4)  # more decode no faster than memory takes it in, and training wants cores too

_own = local()

T = TypeVar("T")
R = TypeVar("R")


class DamageError(Exception):
    """A shard that is recorded complete cannot be what was written; `block` says which, the message why."""

    def __init__(self, block: int, reason: str) -> None:
        super().__init__(reason)
        self.block = block


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A chunk's part of what is asked for: its rows `rows` go to `out[place : place + len(rows)]`."""

    block: int
    chunk: int
    rows: range
    place: int


class ShardedArray:
    """Reads `array[view, start:stop]`; see `read`."""

    def __init__(self, location: Location, spec: ArraySpec, layout: Layout) -> None:
        self._location, self._spec, self._layout = location, spec, layout
        self._row = math.prod(spec.width)
        self._packed_dtype = spec.dtype if spec.table is None else np.dtype(f"u{spec.packed}")
        self._chunk_bytes = layout.chunk_rows * self._row * spec.packed
        self._chunks = layout.block_rows // layout.chunk_rows
        self._index_bytes = self._chunks * ENTRY.itemsize + CRC_BYTES
        self._known: dict[tuple[int, int], NDArray[Any]] = {}  # indices of remote shards, read in part before

    def name(self, view: int, block: int) -> str:
        """The file or object that holds one block."""
        return "/".join([self._spec.name, "c", str(view), str(block), *["0"] * len(self._spec.width)])

    def read(self, view: int, start: int, stop: int, out: NDArray[Any]) -> int:
        """Rows `[start, stop)` of `view` into `out[stop - start, *width]` (contiguous); how many bytes that took.

        Raises
        ------
        DamageError
            If a chunk is missing, fails its checksum, or holds what cannot be data.
        """
        shards = [list(pieces) for _, pieces in groupby(self._pieces(start, stop), key=lambda piece: piece.block)]
        if not self._location.is_local:
            return sum(_each(lambda pieces: self._fetch_shard(view, pieces, out), shards, threads=AT_ONCE))
        jobs = [job for pieces in shards for job in self._file_jobs(view, pieces)]

        def decode(job: tuple[Piece, str, tuple[int, int]]) -> None:
            piece, name, (offset, size) = job
            stored = _scratch(size)
            try:
                filled = self._location.read_into(name, offset, stored)
            except OSError as error:
                raise self._unreadable(piece, error) from error
            self._decode(stored[:filled], piece, out)

        _each(decode, jobs, threads=THREADS)
        return sum(size for _, _, (_, size) in jobs) + len(shards) * self._index_bytes

    def _file_jobs(self, view: int, pieces: list[Piece]) -> Iterator[tuple[Piece, str, tuple[int, int]]]:
        """What there is to decode of one local shard: each piece with its file, offset and bytes."""
        name = self.name(view, pieces[0].block)
        index = self._index(pieces[0], name)
        return ((piece, name, self._entry(index, piece)) for piece in pieces)

    def _pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """The chunks that hold rows `[start, stop)`, ascending."""
        size = self._layout.chunk_rows
        for number in range(start // size, (stop - 1) // size + 1):
            first = number * size
            rows = range(max(start - first, 0), min(stop - first, size))
            block, chunk = divmod(number, self._chunks)
            yield Piece(block=block, chunk=chunk, rows=rows, place=first + rows.start - start)

    def _fetch_shard(self, view: int, pieces: list[Piece], out: NDArray[Any]) -> int:
        """All `pieces` of one remote shard: by one request if most of it is wanted, else by one for each stretch."""
        block = pieces[0].block
        name = self.name(view, block)
        filled = -(-len(self._layout.rows(block)) // self._layout.chunk_rows)
        if 2 * len(pieces) > filled:
            (data,) = self._location.fetch([name])
            if data is None:
                raise self._missing(pieces[0])
            whole = np.frombuffer(data, np.uint8)
            index = self._parsed(block, whole[-self._index_bytes :])
            stored = [whole[offset : offset + size] for offset, size in (self._entry(index, piece) for piece in pieces)]
            taken = len(whole)
        else:
            taken = 0 if (view, block) in self._known else self._index_bytes
            if taken:
                self._known[view, block] = self._index(pieces[0], name)
            entries = [self._entry(self._known[view, block], piece) for piece in pieces]
            try:
                stored = [np.frombuffer(part, np.uint8) for part in self._location.parts(name, entries)]
            except FileNotFoundError as error:
                raise self._missing(pieces[0]) from error
            taken += sum(map(len, stored))
        for piece, part in zip(pieces, stored, strict=True):
            self._decode(part, piece, out)
        return taken

    def _index(self, piece: Piece, name: str) -> NDArray[Any]:
        """The index `[n]` of the shard that `piece` is of."""
        try:
            end = self._location.end(name, self._index_bytes)
        except OSError as error:
            raise self._unreadable(piece, error) from error
        return self._parsed(piece.block, np.frombuffer(end, np.uint8))

    def _parsed(self, block: int, end: NDArray[np.uint8]) -> NDArray[Any]:
        """The index `[n]` of a shard, from its last bytes."""
        if len(end) < self._index_bytes:
            raise DamageError(block, f"it is shorter than the {self._index_bytes} bytes of its index")
        return strip_checksum(end, DamageError(block, "the checksum of its index is wrong")).view(ENTRY)

    def _entry(self, index: NDArray[Any], piece: Piece) -> tuple[int, int]:
        """Offset and bytes of a chunk."""
        offset, size = (int(part) for part in index[piece.chunk].item())
        if NEVER_WRITTEN in (offset, size):
            raise self._missing(piece)
        return offset, size

    def _decode(self, stored: NDArray[np.uint8], piece: Piece, out: NDArray[Any]) -> None:
        """One chunk as it is stored, into its place."""
        body = strip_checksum(stored, DamageError(piece.block, f"the checksum of chunk {piece.chunk} is wrong"))
        if len(body) < 16 or int(body[4:8].view("<u4")[0]) != self._chunk_bytes:  # blosc's header: bytes to come
            raise DamageError(piece.block, f"chunk {piece.chunk} does not hold {self._chunk_bytes} bytes")
        target = out[piece.place : piece.place + len(piece.rows)]
        whole = len(piece.rows) == self._layout.chunk_rows and self._spec.table is None
        packed = target if whole else np.empty((self._layout.chunk_rows, *self._spec.width), self._packed_dtype)
        blosc.decompress(body, packed.reshape(-1).view(np.uint8))
        if not whole:
            chosen = packed[piece.rows.start : piece.rows.stop]
            if self._spec.table is None:
                target[...] = chosen
            else:
                np.take(self._spec.table, chosen, out=target)
        if not self._spec.is_data(target):
            good = np.array([self._spec.is_data(row) for row in target.reshape(len(target), -1)])
            raise self._missing(piece, piece.rows.start + int(np.argmin(good)))

    def _missing(self, piece: Piece, row: int | None = None) -> DamageError:
        first = piece.block * self._layout.block_rows + piece.chunk * self._layout.chunk_rows
        sample = first + (piece.rows.start if row is None else row)
        return DamageError(piece.block, f"the row of sample {sample} is missing or not what can be data")

    def _unreadable(self, piece: Piece, error: OSError) -> DamageError:
        if isinstance(error, FileNotFoundError):
            return self._missing(piece)
        return DamageError(piece.block, str(error))


def _scratch(size: int) -> NDArray[np.uint8]:
    """`size` bytes of this thread's own, good until it asks again: fresh memory would cost more than what is read."""
    if size > len(getattr(_own, "bytes", ())):
        _own.bytes = np.empty(size, np.uint8)
    return _own.bytes[:size]


def _each(function: Callable[[T], R], items: Sequence[T], *, threads: int) -> list[R]:
    """`function` of each item, in order, several at a time."""
    if len(items) < 2 or threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        return list(pool.map(function, items))
