"""The division of a store into blocks and chunks: chosen once from its sizes, then written into the store."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A chunk takes 1 to 2 times this many bytes of encoded rows. It is small enough to be read alone, and so large that
# zstd, which works in blocks of 128 KiB, seldom has exponents and mantissas in one of them. That would cost 4% in size
# and half the speed.
CHUNK_BYTES = 500_000
PIECE_BYTES = 256 * 1024 * 1024  # float32 logits that are in memory while they are made and encoded
BLOCK_BYTES = 32 * 1024 * 1024  # encoded rows of one block, which is in memory while it is written
BLOCKS_PER_VIEW = 32  # keeps files in the tens per view, and an interruption loses a few percent of a view
SMALLEST_BLOCK = 1024  # rows; a smaller file is mostly overhead
LEDGER_ARRAYS = 3  # `complete`, `seconds` and `checksums`
RECORD_BYTES = 64 * 1024  # in one file of the record, which is written anew for each of its blocks
SECONDS_BYTES = 8  # of one block, in the largest array of a record but for the checksums
# Limits that no store comes near, so that numbers which cannot be true are refused before memory is taken for them
MOST_VIEWS = 2**16
MOST_BLOCKS = 2**22  # of all views
MOST_BLOCK_ROWS = 2**32
MOST_CHUNK_BYTES = 2**34  # float32 logits of one chunk
MOST_BLOCK_BYTES = 2**34  # encoded rows of one block


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The sizes of `logits[V, N, C]`, and its division; ValueError is raised if they do not fit together.

    Block b of a view is the rows `[b * block_rows, (b + 1) * block_rows)`, the last one fewer. It is one shard of the
    array, and the unit of work, of durability and of completeness; it has one writer. A chunk is the unit of
    compression and checksum inside it.

    Attributes
    ----------
    views, samples, classes
        V, N and C; C is 0 in a store of features alone.
    block_rows, chunk_rows
        Rows of a block, a multiple of the rows of a chunk.
    split_record
        True if `complete` and `seconds` of a view are in several files, each of a limited number of blocks; False if
        each of them is one file, as in all stores of up to 8,192 blocks in a view.
    """

    views: int
    samples: int
    classes: int
    block_rows: int
    chunk_rows: int
    split_record: bool = False

    def __post_init__(self) -> None:
        for name, least in (("views", 1), ("samples", 1), ("classes", 0), ("block_rows", 1), ("chunk_rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.block_rows % self.chunk_rows:
            raise ValueError(f"a block of {self.block_rows} rows is not whole chunks of {self.chunk_rows}")
        for what, found, limit in (
            ("views", self.views, MOST_VIEWS),
            ("blocks in all views", self.views * self.blocks, MOST_BLOCKS),
            ("rows in a block", self.block_rows, MOST_BLOCK_ROWS),
            ("bytes of float32 in a chunk", 4 * max(self.classes, 1) * self.chunk_rows, MOST_CHUNK_BYTES),
        ):
            if found > limit:
                raise ValueError(f"a store has at most {limit:,} {what}, not {found:,}")

    @property
    def blocks(self) -> int:
        """Number of blocks in one view."""
        return -(-self.samples // self.block_rows)

    @property
    def chunks(self) -> int:
        """Number of chunks in one shard."""
        return self.block_rows // self.chunk_rows

    def record_blocks(self, arrays: int) -> int:
        """Return the number of blocks whose checksums share a file, for an encoding of `arrays` arrays."""
        return max(min(RECORD_BYTES // (4 * (arrays * self.chunks + 1)), self.blocks), 1)

    def count_blocks(self, arrays: int) -> int:
        """Return the number of blocks whose `complete` and `seconds` share a file each.

        With a split record it is a multiple of `record_blocks`, so that checksums of one file belong to one of these.
        """
        together = self.record_blocks(arrays)
        return RECORD_BYTES // SECONDS_BYTES // together * together if self.split_record else self.blocks

    def attributes(self) -> dict[str, int | bool]:
        """Return the layout as the attributes of a store hold it: `split_record` only where it is true."""
        return {name: value for name, value in vars(self).items() if value is not False}

    def rows(self, block: int) -> range:
        """Return the samples of `block`; IndexError is raised if there is no such block."""
        if not 0 <= block < self.blocks:
            raise IndexError(f"block {block} of {self.blocks}")
        start = block * self.block_rows
        return range(start, min(start + self.block_rows, self.samples))

    def block_sizes(self) -> NDArray[np.int64]:
        """Return the rows of each block of a view, `[B]` int64."""
        sizes = np.full(self.blocks, self.block_rows)
        sizes[-1] = self.samples - (self.blocks - 1) * self.block_rows
        return sizes

    def objects(self, arrays: int) -> int:
        """Return the number of files or objects of a finished store whose encoding has `arrays` arrays.

        They are a shard for each block and array, the record of each view (one or more files of `complete`, `seconds`
        and `checksums` each), and the metadata of the group and of each array.
        """
        record = 2 * -(-self.blocks // self.count_blocks(arrays)) + -(-self.blocks // self.record_blocks(arrays))
        return self.views * (self.blocks * arrays + record) + 1 + arrays + LEDGER_ARRAYS

    def all_blocks(self) -> Iterator[tuple[int, int]]:
        """Return every (view, block), view by view: the order in which they are made."""
        return ((view, block) for view in range(self.views) for block in range(self.blocks))


def power_of_two_below(number: float) -> int:
    """Return the largest power of two that is <= `number`, at least 1."""
    return 1 << max(int(number).bit_length() - 1, 0)


def piece_rows(columns: int) -> int:
    """Return how many float32 rows of `columns` numbers are made and encoded at a time, at least 1."""
    return max(PIECE_BYTES // max(4 * columns, 1), 1)


def choose_layout(*, views: int, samples: int, classes: int, row_bytes: int, block_rows: int | None = None) -> Layout:
    """Return the layout for `views` x `samples` rows of `classes` logits that take `row_bytes` each when encoded.

    A block is a 32nd of a view, but at least 1,024 rows, and at most 256 MiB of float32 logits or 32 MiB of encoded
    rows, whichever are more rows. Blocks of more logits are encoded in pieces of `piece_rows`. A chunk takes 0.5 to
    1 MB of encoded rows, but at most 256 MiB of float32 logits, or a whole block if that is less. Both numbers of rows
    are powers of two, so that chunks divide blocks. If `block_rows` is given, it is taken as it is, and chunks are
    fitted to it.

    Raises
    ------
    ValueError
        If no store can be cut so.
    """
    piece = piece_rows(classes)
    if block_rows is None:
        wanted = max(samples / BLOCKS_PER_VIEW, SMALLEST_BLOCK)
        block_rows = power_of_two_below(min(wanted, max(piece, BLOCK_BYTES / row_bytes)))
    if block_rows * row_bytes > MOST_BLOCK_BYTES:
        raise ValueError(f"a block has at most {MOST_BLOCK_BYTES:,} bytes, not {block_rows * row_bytes:,}")
    chunk_rows = 1 << max(math.ceil(CHUNK_BYTES / row_bytes) - 1, 0).bit_length()
    chunk_rows = min(chunk_rows, power_of_two_below(piece))
    while block_rows % chunk_rows:
        chunk_rows //= 2
    return Layout(
        views=views,
        samples=samples,
        classes=classes,
        block_rows=block_rows,
        chunk_rows=chunk_rows,
        split_record=SECONDS_BYTES * -(-samples // block_rows) > RECORD_BYTES,
    )
