"""The files of a ledger: what is recorded of the blocks of a view, and the seal that binds it to its place.

    complete/c/VIEW/PART       [p] uint8, for p blocks: most often all of the view, but a limited number of a view of
                               many blocks (`Layout.split_record`), so that recording one costs the same in all of them
    seconds/c/VIEW/PART        [p] float64
    checksums/c/VIEW/PIECE/0   [b, A n + 1] uint32, for b blocks, all of one part: the crc32c that ends each stored
                               chunk of the block's shards, array by array; 0 for a chunk behind the last sample; at
                               last the seal

The seal is the crc32c of the store's generation, the view, the block, its seconds and its checksums. So a record counts
only in the store and at the place that it was written for, and a chunk only if it is the one that was recorded. Each
file ends with its own crc32c, as zarr writes and reads it.

Letters: p blocks of a part, b blocks of a piece, A arrays of the encoding, n chunks in a shard.
"""

import struct
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from kcd_stores.checksums import CRC_BYTES, strip_checksum
from kcd_stores.knowledge.layout import Layout


@dataclass(frozen=True, kw_only=True)
class RecordFormat:
    """The shape of the records of one store.

    Attributes
    ----------
    arrays
        A.
    generation
        The generation of the store; None for a store of format 1, which has no checksums.
    """

    layout: Layout
    arrays: int
    generation: str | None

    @property
    def entries(self) -> int:
        """Checksums of one block, A n."""
        return self.arrays * self.layout.chunks

    @property
    def piece_blocks(self) -> int:
        """The number of blocks in a piece; the last piece of a view may have fewer."""
        return self.layout.record_blocks(self.arrays) if self.generation is not None else self.layout.blocks

    @property
    def pieces(self) -> int:
        """The number of pieces of a view."""
        return -(-self.layout.blocks // self.piece_blocks)

    @property
    def part_blocks(self) -> int:
        """The number of blocks in a file of `complete` or of `seconds`; zarr pads the last one of a view."""
        return self.layout.count_blocks(self.arrays)

    @property
    def parts(self) -> int:
        """The number of files of `complete`, and of `seconds`, of a view."""
        return -(-self.layout.blocks // self.part_blocks)

    def part_of(self, piece: int) -> int:
        """Return the part that the blocks of a piece are in."""
        return piece * self.piece_blocks // self.part_blocks

    def blocks_of(self, piece: int) -> range:
        """Return the blocks of a piece."""
        first = piece * self.piece_blocks
        return range(first, min(first + self.piece_blocks, self.layout.blocks))

    def seal(self, view: int, block: int, seconds: float, checksums: NDArray[np.uint32]) -> int:
        """Return the seal of a block's record."""
        head = struct.pack("<16sQQd", (self.generation or "").encode(), view, block, seconds)
        return int(google_crc32c.value(head + checksums.astype("<u4").tobytes()))


def complete_name(view: int, part: int) -> str:
    """Return the name of the file of a part of `complete`."""
    return f"complete/c/{view}/{part}"


def seconds_name(view: int, part: int) -> str:
    """Return the name of the file of a part of `seconds`."""
    return f"seconds/c/{view}/{part}"


def checksums_name(view: int, piece: int) -> str:
    """Return the name of the file of a piece of `checksums`."""
    return f"checksums/c/{view}/{piece}/0"


def record_names(shape: RecordFormat, view: int) -> list[str]:
    """Return the names of all files of the ledger for a view."""
    pieces = range(shape.pieces) if shape.generation is not None else ()
    return [
        *(name(view, part) for name in (complete_name, seconds_name) for part in range(shape.parts)),
        *(checksums_name(view, piece) for piece in pieces),
    ]


def with_checksum(values: NDArray[Any]) -> bytes:
    """Return the file of one uncompressed chunk: the values, little-endian, and their crc32c."""
    body = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return body + int(google_crc32c.value(body)).to_bytes(CRC_BYTES, "little")


def without_checksum(name: str, data: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the values in the file of one uncompressed chunk, `shape` of a little-endian `dtype`.

    Raises
    ------
    ValueError
        If the file is of another size, or its crc32c is wrong; the message begins with its `name`.
    """
    wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize + CRC_BYTES
    if len(data) != wanted:
        raise ValueError(f"{name}: it has {len(data):,} bytes, expected {wanted:,}")
    body = strip_checksum(np.frombuffer(data, np.uint8), ValueError(f"{name}: its checksum is wrong"))
    return body.copy().view(dtype).reshape(shape)  # a copy, since nobody may write to `data`
