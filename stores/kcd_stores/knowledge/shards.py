"""One array of a store, read fast: chunks are verified, decompressed and unpacked straight into place, in parallel.

The files are zarr's own, and zarr reads the same from them (a test compares the two). Left to itself, zarr passes each
chunk through an event loop and four codecs, at a quarter of the speed. A shard is

    chunk ... chunk   each: blosc(packed elements of `chunk_rows` rows), then its crc32c
    index             [n, 2] uint64, offset and bytes of each chunk (all ones: never written), then its crc32c

(zarr 3, "sharding-indexed codec", index at the end). The crc32c that ends a chunk is also in the record of its block,
so a chunk that is whole, but of another place or another store, is found wherever it is read.

Letters: V views, N samples, n chunks of a shard.
"""

import errno
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from threading import local
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kcd_stores.checked_blosc import decompress_blosc
from kcd_stores.checksums import CRC_BYTES, strip_checksum
from kcd_stores.encodings import ArraySpec
from kcd_stores.knowledge.layout import Layout
from kcd_stores.storage import Storage, object_name

INDEX_ENTRY = np.dtype([("offset", "<u8"), ("bytes", "<u8")])
NEVER_WRITTEN = 2**64 - 1
BLOSC_OVERHEAD = 16  # bytes that a chunk which cannot be compressed takes more than its rows
# errors of a disk, or of what lies in place of a file; others, such as a refused permission, are no damage
DAMAGE = (errno.ENOENT, errno.EIO, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EBADMSG, errno.ENODATA)
THREADS = min(os.cpu_count() or 1, 4)  # more decode no faster than memory takes it in, and training wants cores too

_per_thread = local()

T = TypeVar("T")
R = TypeVar("R")


class DamageError(Exception):
    """A shard that is recorded complete cannot be what was written; `block` is its number, the message the reason."""

    def __init__(self, block: int, reason: str) -> None:
        super().__init__(reason)
        self.block = block


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The part of one chunk that is asked for: its rows `rows` go to `out[place : place + len(rows)]`.

    `checksum` is the crc32c that the record of the block has for the chunk; None if it has none.
    """

    block: int
    chunk: int
    rows: range
    place: int
    checksum: int | None


@dataclass(frozen=True, kw_only=True)
class StoredPiece:
    """A piece, and where its chunk is stored: `size` bytes of the file `name`, from `offset` on."""

    piece: Piece
    name: str
    offset: int
    size: int


class ShardedArray:
    """One array of a store, `[V, N, *width]`; `read` is its purpose."""

    def __init__(self, storage: Storage, spec: ArraySpec, layout: Layout) -> None:
        self._storage, self._spec, self._layout = storage, spec, layout
        self._row = math.prod(spec.row_shape)
        self._chunk_bytes = layout.chunk_rows * self._row * spec.packed_bytes
        self._chunks = layout.chunks
        self._index_bytes = index_bytes(layout)
        self._largest_chunk = self._chunk_bytes + BLOSC_OVERHEAD + CRC_BYTES
        self._known: dict[
            tuple[int, int], NDArray[Any]
        ] = {}  # indices by (view, block), where reading one is a request

    def name(self, view: int, block: int) -> str:
        """Return the name of the file that holds one block."""
        return object_name(self._spec.name, view, block, ndim=2 + len(self._spec.row_shape))

    def read(
        self, view: int, start: int, stop: int, out: NDArray[Any], checksums: Mapping[int, NDArray[np.uint32]]
    ) -> int:
        """Read rows `[start, stop)` of `view` into `out[stop - start, *width]`, in the array's `memory_dtype`.

        Returns the number of stored bytes that were read for it.

        Parameters
        ----------
        checksums
            The checksums `[n]` of the chunks of each block that has rows among them; `[0]` where none were recorded.

        Raises
        ------
        DamageError
            If a chunk is missing, fails its checksum, is not the one that was recorded, or holds what cannot be data.
        OSError
            If a file cannot be read for a reason that is no damage, such as a refused permission.
        """
        wanted = self._pieces(start, stop, checksums)
        shards = [list(pieces) for _, pieces in groupby(wanted, key=lambda piece: piece.block)]
        if self._storage.parallel_reads == 1:
            return self._read_chunks(view, shards, out)
        taken = _map(lambda pieces: self._read_shard(view, pieces, out), shards, threads=self._storage.parallel_reads)
        return sum(taken)

    def _pieces(self, start: int, stop: int, checksums: Mapping[int, NDArray[np.uint32]]) -> Iterator[Piece]:
        """Yield the pieces of the chunks that hold rows `[start, stop)`, ascending."""
        size = self._layout.chunk_rows
        for number in range(start // size, (stop - 1) // size + 1):
            first = number * size
            rows = range(max(start - first, 0), min(stop - first, size))
            block, chunk = divmod(number, self._chunks)
            recorded = int(checksums[block][chunk]) if len(checksums[block]) else None
            place = first + rows.start - start
            yield Piece(block=block, chunk=chunk, rows=rows, place=place, checksum=recorded)

    # --- where reads cost little: chunk by chunk, several threads decoding ------------------------------------

    def _read_chunks(self, view: int, shards: list[list[Piece]], out: NDArray[Any]) -> int:
        stored = [one for pieces in shards for one in self._stored_pieces(view, pieces)]
        _map(lambda one: self._read_chunk(one, out), stored, threads=THREADS)
        return sum(one.size for one in stored) + len(shards) * self._index_bytes

    def _stored_pieces(self, view: int, pieces: list[Piece]) -> list[StoredPiece]:
        """Return `pieces`, all of one shard, with the places of their chunks, which its index tells."""
        name = self.name(view, pieces[0].block)
        index = self._read_index(pieces[0], name)
        places = (self._entry(index, piece) for piece in pieces)
        return [
            StoredPiece(piece=piece, name=name, offset=offset, size=size)
            for piece, (offset, size) in zip(pieces, places, strict=True)
        ]

    def _read_chunk(self, stored: StoredPiece, out: NDArray[Any]) -> None:
        buffer = _scratch(stored.size, "stored")
        try:
            filled = self._storage.read_into(stored.name, stored.offset, buffer)
        except OSError as error:
            raise self._unreadable(stored.piece, error) from error
        self._decode(buffer[:filled], stored.piece, out)

    # --- where each read is a request: as few as possible, several at once ------------------------------------

    def _read_shard(self, view: int, pieces: list[Piece], out: NDArray[Any]) -> int:
        """Read `pieces`, all of one shard: by one request if most of it is wanted, else by one for each stretch."""
        filled_chunks = -(-len(self._layout.rows(pieces[0].block)) // self._layout.chunk_rows)
        most = 2 * len(pieces) > filled_chunks
        chunks, taken = self._fetch_whole(view, pieces) if most else self._fetch_ranges(view, pieces)
        for piece, chunk in zip(pieces, chunks, strict=True):
            self._decode(chunk, piece, out)
        return taken

    def _fetch_whole(self, view: int, pieces: list[Piece]) -> tuple[list[NDArray[np.uint8]], int]:
        """Return the stored chunk of each piece, out of the whole shard, and the bytes that were read."""
        block = pieces[0].block
        (data,) = self._storage.fetch([self.name(view, block)])
        if data is None:
            raise self._missing(pieces[0])
        whole = np.frombuffer(data, np.uint8)
        index = self._parse_index(block, whole[-self._index_bytes :])
        places = (self._entry(index, piece) for piece in pieces)
        return [whole[offset : offset + size] for offset, size in places], len(whole)

    def _fetch_ranges(self, view: int, pieces: list[Piece]) -> tuple[list[NDArray[np.uint8]], int]:
        """Return the stored chunk of each piece, by ranges of the shard, and the bytes that were read.

        The index is kept: the next read of the same shard does without a request for it.
        """
        block, taken = pieces[0].block, 0
        name = self.name(view, block)
        if (view, block) not in self._known:
            self._known[view, block] = self._read_index(pieces[0], name)
            taken = self._index_bytes
        index = self._known[view, block]
        try:
            parts = self._storage.read_ranges(name, [self._entry(index, piece) for piece in pieces])
        except FileNotFoundError as error:
            raise self._missing(pieces[0]) from error
        return [np.frombuffer(part, np.uint8) for part in parts], taken + sum(map(len, parts))

    # --- the format of a shard --------------------------------------------------------------------------------

    def _read_index(self, piece: Piece, name: str) -> NDArray[Any]:
        """Read the index `[n]` of the shard `name`, which holds `piece`."""
        try:
            end = self._storage.read_end(name, self._index_bytes)
        except OSError as error:
            raise self._unreadable(piece, error) from error
        return self._parse_index(piece.block, np.frombuffer(end, np.uint8))

    def _parse_index(self, block: int, end: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the index `[n]` of a shard, given its last bytes."""
        if len(end) < self._index_bytes:
            raise DamageError(block, f"it is shorter than the {self._index_bytes} bytes of its index")
        return strip_checksum(end, DamageError(block, "the checksum of its index is wrong")).view(INDEX_ENTRY)

    def _entry(self, index: NDArray[Any], piece: Piece) -> tuple[int, int]:
        """Return offset and bytes of a piece's chunk."""
        offset, size = (int(part) for part in index[piece.chunk].item())
        if NEVER_WRITTEN in (offset, size):
            raise self._missing(piece)
        if size > self._largest_chunk or offset > self._chunks * self._largest_chunk:
            raise DamageError(
                piece.block,
                f"its index has chunk {piece.chunk} in {size:,} bytes from {offset:,} on, where a chunk has at most "
                f"{self._largest_chunk:,}",
            )
        return offset, size

    def _decode(self, stored: NDArray[np.uint8], piece: Piece, out: NDArray[Any]) -> None:
        """Decode one stored chunk, and put the rows of `piece` in their place in `out`."""
        body = strip_checksum(stored, DamageError(piece.block, f"the checksum of chunk {piece.chunk} is wrong"))
        if piece.checksum is not None and stored_checksum(stored) != piece.checksum:
            raise DamageError(piece.block, f"chunk {piece.chunk} is not the one that was recorded for this block")
        target = out[piece.place : piece.place + len(piece.rows)]
        in_place = (
            len(target) == self._layout.chunk_rows and target.flags.c_contiguous and target.dtype == self._spec.dtype
        )
        chunk = target if in_place else self._room()
        wrong = DamageError(piece.block, f"chunk {piece.chunk} does not hold {self._chunk_bytes} bytes")
        decompress_blosc(body, chunk, wrong)
        chosen = chunk if in_place else chunk[piece.rows.start : piece.rows.stop]
        if not self._spec.is_data(chosen):
            good = np.array([self._spec.is_data(row) for row in chosen.reshape(len(chosen), -1)])
            raise self._missing(piece, piece.rows.start + int(np.argmin(good)))
        if not in_place:
            target[...] = self._spec.without_zeros(chosen)

    def _room(self) -> NDArray[Any]:
        """Return room for the elements of one chunk, which is this thread's until it asks again."""
        elements = _scratch(self._chunk_bytes, "decompressed").view(self._spec.dtype)
        return elements.reshape(self._layout.chunk_rows, *self._spec.row_shape)

    # --- errors -----------------------------------------------------------------------------------------------

    def _missing(self, piece: Piece, row: int | None = None) -> DamageError:
        """Return the error of a chunk that is missing, or of a `row` of it that cannot be data."""
        first = piece.block * self._layout.block_rows + piece.chunk * self._layout.chunk_rows
        sample = first + (piece.rows.start if row is None else row)
        return DamageError(piece.block, f"the row of sample {sample} is missing or not what can be data")

    def _unreadable(self, piece: Piece, error: OSError) -> DamageError:
        """Return the error of a file that is missing or that the disk does not give back; raise any other again."""
        if isinstance(error, FileNotFoundError):
            return self._missing(piece)
        if error.errno not in DAMAGE:
            raise error
        return DamageError(piece.block, str(error))


def index_bytes(layout: Layout) -> int:
    """Return the bytes of the index that ends each shard."""
    return layout.chunks * INDEX_ENTRY.itemsize + CRC_BYTES


def stored_checksum(stored: NDArray[np.uint8]) -> int:
    """Return the crc32c that ends a stored chunk."""
    return int.from_bytes(stored[-CRC_BYTES:].tobytes(), "little")


def checksums_of(shard: bytes, layout: Layout) -> NDArray[np.uint32]:
    """Return the crc32c of each chunk `[n]` of a shard that was just encoded; 0 for a chunk that it does not have."""
    whole = np.frombuffer(shard, np.uint8)
    index = whole[-index_bytes(layout) : -CRC_BYTES].view(INDEX_ENTRY)
    found = np.zeros(layout.chunks, np.uint32)
    for chunk, (offset, size) in enumerate(index.tolist()):
        if size != NEVER_WRITTEN:
            found[chunk] = stored_checksum(whole[offset : offset + size])
    return found


def _scratch(size: int, of: str) -> NDArray[np.uint8]:
    """Return `size` bytes for chunks `of` one kind, which are this thread's until it asks again.

    Fresh memory would cost more than the read.
    """
    if size > len(getattr(_per_thread, of, ())):
        setattr(_per_thread, of, np.empty(size, np.uint8))
    room: NDArray[np.uint8] = getattr(_per_thread, of)
    return room[:size]


def _map(function: Callable[[T], R], items: Sequence[T], *, threads: int) -> list[R]:
    """Return `function(item)` for each item, in order, several at a time."""
    if len(items) < 2 or threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        return list(pool.map(function, items))
