"""Which rows form a block, a shard and a chunk: decided once from the sizes, then written into the store."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

# One inner chunk takes this to twice this of encoded rows: small enough to be read alone, and large enough that zstd,
# which works by 128 KiB, seldom has exponents and mantissas in one of its blocks: that costs 4% in size, half in speed.
CHUNK_BYTES = 500_000
BLOCK_BYTES = 256 * 1024 * 1024  # of float32 logits: one block in memory while it is made and written
BLOCKS_PER_VIEW = 32  # files stay in the tens per view, and an interruption loses a few percent of a view
LEDGERS = 2  # arrays beside the knowledge: `complete` and `seconds`
SMALLEST_BLOCK = 1024  # rows; below this a file is mostly overhead


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How `logits[V, N, C]` is cut: one block = one shard = rows `[b * block_rows, ...)` of one view.

    A block is the unit of work, of durability and of completeness; it has one writer. A chunk is the unit of
    compression and checksum inside it.
    """

    views: int
    samples: int
    classes: int
    block_rows: int
    chunk_rows: int

    def __post_init__(self) -> None:
        for name in ("views", "samples", "classes", "block_rows", "chunk_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.block_rows % self.chunk_rows:
            raise ValueError(f"a block of {self.block_rows} rows is not whole chunks of {self.chunk_rows}")

    @property
    def blocks(self) -> int:
        """Blocks in one view."""
        return -(-self.samples // self.block_rows)

    def rows(self, block: int) -> range:
        """Sample indices of `block`."""
        if not 0 <= block < self.blocks:
            raise IndexError(f"block {block} of {self.blocks}")
        start = block * self.block_rows
        return range(start, min(start + self.block_rows, self.samples))

    def objects(self, arrays: int) -> int:
        """Files or objects of a finished store whose encoding has so many arrays.

        A shard of each array a block; a chunk of `complete` and of `seconds` a view; metadata of the group, of each.
        """
        return self.views * (self.blocks * arrays + LEDGERS) + 1 + arrays + LEDGERS

    def all_blocks(self) -> Iterator[tuple[int, int]]:
        """Every (view, block), view by view: the order in which they are made."""
        return ((view, block) for view in range(self.views) for block in range(self.blocks))


def power_of_two_below(number: float) -> int:
    """The largest power of two that is <= `number`, at least 1."""
    return 1 << max(int(number).bit_length() - 1, 0)


def choose_layout(*, views: int, samples: int, classes: int, row_bytes: int, block_rows: int | None = None) -> Layout:
    """The layout for a store of `views` x `samples` rows of `classes` logits that take `row_bytes` each when encoded.

    Rows a block and a chunk are powers of two, so that chunks always divide blocks. A block is a 32nd of a view, as
    long as its logits, which are float32 while they are made, stay within 256 MiB; a chunk takes 0.5 to 1 MB of
    encoded rows, or a whole block where that is less. `block_rows`, when given, is taken as it is, and chunks are
    fitted to it.
    """
    if block_rows is None:
        wanted = max(samples / BLOCKS_PER_VIEW, SMALLEST_BLOCK)
        block_rows = power_of_two_below(min(wanted, max(BLOCK_BYTES / (4 * classes), 1)))
    chunk_rows = 1 << max(math.ceil(CHUNK_BYTES / row_bytes) - 1, 0).bit_length()
    while block_rows % chunk_rows:
        chunk_rows //= 2
    return Layout(views=views, samples=samples, classes=classes, block_rows=block_rows, chunk_rows=chunk_rows)
