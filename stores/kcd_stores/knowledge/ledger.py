"""The record that makes data count: which blocks of a store are complete, what they cost, and which bytes they are.

    complete  [V, B]           uint8: 1 once the block's data is durable
    seconds   [V, B]           float64: the time that the block took to make, NaN before
    checksums [V, B, A n + 1]  uint32: the checksum of each stored chunk of the block, then a seal

Letters: V views, B blocks in a view, A arrays of the encoding, n chunks in a shard. `kcd_stores.knowledge.records` has
the files. A block counts if `complete` says so and its seal is right. Checksums and seconds are written before, so a
block whose record cannot be read, or is of another place, is simply missing: the next extraction makes it again.
`kcd_stores.knowledge.ledger_writer` writes it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.group import KnowledgeGroup
from kcd_stores.knowledge.records import (
    RecordFormat,
    checksums_name,
    complete_name,
    seconds_name,
    without_checksum,
)
from kcd_stores.storage import Storage

VIEWS_AT_ONCE = 64  # whose records are asked for together, which a server answers sooner than one by one
PIECES_AT_ONCE = 64  # that are in memory when all of a ledger is read
PIECES_KEPT = 256  # pieces of the ledger that a reader keeps, of at most 64 KiB each


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """The record of neighbouring blocks of one view, as it was read. Letters: b blocks, A n checksums of each.

    Attributes
    ----------
    valid
        `[b]` bool: blocks that are recorded complete and whose seal is right.
    seconds
        `[b]` float64.
    checksums
        `[b, A n]` uint32; None in a store of format 1.
    problems
        A sentence for each file, or entry of a file, that cannot be what was written.
    """

    valid: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    checksums: NDArray[np.uint32] | None
    problems: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """All of a ledger at one moment: `complete[V, B]` bool, `seconds[V, B]` float64, and what is wrong with it."""

    complete: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    problems: list[str]


class Ledger:
    """Reads the ledger of one opened store."""

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._storage, self._format = opened.storage, opened.records
        self._pieces: dict[tuple[int, int], Piece] = {}  # the latest ones that were asked for
        self._lock = Lock()

    def survey(self) -> Survey:
        """Read all of the ledger."""
        layout = self._format.layout
        complete = np.zeros((layout.views, layout.blocks), dtype=bool)
        seconds = np.full(complete.shape, np.nan)
        problems: list[str] = []
        for first in range(0, layout.views, VIEWS_AT_ONCE):
            views = range(first, min(first + VIEWS_AT_ONCE, layout.views))
            for view, number, piece in self._recorded_pieces(views):
                blocks = self._format.blocks_of(number)
                complete[view, blocks.start : blocks.stop] = piece.valid
                seconds[view, blocks.start : blocks.stop] = piece.seconds
                problems += piece.problems
                if len(self._pieces) < PIECES_KEPT and piece.valid.all():
                    self._keep(view, number, piece)  # most often they are read next
        return Survey(complete=complete, seconds=seconds, problems=list(dict.fromkeys(problems)))

    def _recorded_pieces(self, views: range) -> Iterator[tuple[int, int, Piece]]:
        """Yield view, number and content of all pieces of those of `views` that have a record."""
        shape = self._format
        counts = _read_counts(self._storage, ((view, part) for view in views for part in range(shape.parts)))
        places = (
            (view, number)
            for view in views
            for number in range(shape.pieces)
            if counts[view, shape.part_of(number)] is not None
        )
        while some := list(islice(places, PIECES_AT_ONCE)):
            pieces = read_pieces(self._storage, shape, some, counts)
            for (view, number), piece in zip(some, pieces, strict=True):
                yield view, number, piece

    def complete(self) -> NDArray[np.bool_]:
        """Return which blocks are recorded complete at this moment, `[V, B]`."""
        return self.survey().complete

    def seconds(self) -> float:
        """Return the time that the complete blocks took to make, in seconds."""
        found = self.survey()
        return float(found.seconds[found.complete].sum())

    def checksums(self, view: int, blocks: range) -> list[NDArray[np.uint32] | None]:
        """Return the checksums `[A n]` of each of `blocks` of a view; None for a block that is not recorded complete.

        In a store of format 1, which has none, those of a complete block are empty.
        """
        return [self._checksums(view, block) for block in blocks]

    def _checksums(self, view: int, block: int) -> NDArray[np.uint32] | None:
        number, at = divmod(block, self._format.piece_blocks)
        piece = self._pieces.get((view, number))
        if piece is None or not piece.valid[at]:  # once complete, a block stays so
            (piece,) = read_pieces(self._storage, self._format, [(view, number)])
            self._keep(view, number, piece)
        if not piece.valid[at]:
            return None
        return np.empty(0, np.uint32) if piece.checksums is None else piece.checksums[at]

    def _keep(self, view: int, number: int, piece: Piece) -> None:
        with self._lock:
            self._pieces.pop((view, number), None)
            if len(self._pieces) >= PIECES_KEPT:
                del self._pieces[next(iter(self._pieces))]
            self._pieces[view, number] = piece


def read_pieces(
    storage: Storage,
    shape: RecordFormat,
    places: Sequence[tuple[int, int]],
    counts: Mapping[tuple[int, int], bytes | None] | None = None,
) -> list[Piece]:
    """Read the pieces (view, number) of a ledger, several at once.

    What makes a record count, the file of `complete`, is read first, for it is written last: so whatever it counts is
    there. `counts` has its content for each (view, part), if it was read a moment ago.
    """
    part_of = {(view, number): (view, shape.part_of(number)) for view, number in places}
    counts = _read_counts(storage, part_of.values()) if counts is None else counts
    counted = [place for place in places if counts[part_of[place]]]
    names = list(dict.fromkeys(name for place in counted for name in _other_names(shape, *place)))
    files = dict(zip(names, storage.fetch(names), strict=True)) if names else {}
    return [_piece(shape, *place, counts[part_of[place]], files) for place in places]


def _read_counts(storage: Storage, parts: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes | None]:
    """Return the content of the file of `complete` for each of `parts` (view, part); None where it is missing."""
    ordered = list(dict.fromkeys(parts))
    return dict(zip(ordered, storage.fetch([complete_name(*part) for part in ordered]), strict=True))


def _other_names(shape: RecordFormat, view: int, number: int) -> list[str]:
    """Return the names of the files of a piece, but for that of `complete`."""
    seconds = seconds_name(view, shape.part_of(number))
    return [seconds, *([checksums_name(view, number)] if shape.generation is not None else [])]


def _piece(
    shape: RecordFormat, view: int, number: int, counted: bytes | None, files: Mapping[str, bytes | None]
) -> Piece:
    """Return one piece, given the content of its files."""
    blocks, part = shape.blocks_of(number), shape.part_of(number)
    first = blocks.start - part * shape.part_blocks
    span, nothing = slice(first, first + len(blocks)), np.zeros(len(blocks), dtype=bool)
    seconds, checksums = np.full(len(blocks), np.nan), None
    problems: list[str] = []
    if counted is None:
        return Piece(valid=nothing, seconds=seconds, checksums=None)
    try:
        valid = without_checksum(complete_name(view, part), counted, "u1", (shape.part_blocks,))[span] == 1
        if not valid.any():
            return Piece(valid=valid, seconds=seconds, checksums=None)
        seconds = _file(files, seconds_name(view, part), "<f8", (shape.part_blocks,))[span]
        if shape.generation is not None:
            wide = (shape.piece_blocks, shape.entries + 1)
            stored = _file(files, checksums_name(view, number), "<u4", wide)[: len(blocks)]
            checksums, seals = stored[:, :-1], stored[:, -1]
    except ValueError as error:
        return Piece(valid=nothing, seconds=seconds, checksums=None, problems=[str(error)])
    if shape.generation is None or checksums is None:
        return Piece(valid=valid, seconds=np.where(np.isfinite(seconds), seconds, 0.0), checksums=None)
    for at in np.flatnonzero(valid).tolist():
        if int(seals[at]) != shape.seal(view, blocks[at], float(seconds[at]), checksums[at]):
            valid[at] = False
            problems.append(
                f"{checksums_name(view, number)}: the record of block {blocks[at]} is not one of this store and place"
            )
    return Piece(valid=valid, seconds=seconds, checksums=checksums, problems=problems)


def _file(files: Mapping[str, bytes | None], name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    data = files[name]
    if data is None:
        raise ValueError(f"{name}: it is missing, though blocks are recorded complete")
    return without_checksum(name, data, dtype, shape)
