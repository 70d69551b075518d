"""Write the ledger of a store (kcd_stores.knowledge.ledger) so that no entry is lost for long.

A folder has one writer at a time, by a lock (kcd_stores.storage.lock), so its entries are simply written. An object
store has no lock that dies with its holder. A file of the record is one object there, which is replaced only if it is
still the one that was read (`Storage.update`). A service that knows no such condition lets two extractions at the same
moment lose each other's latest entries. A lost entry does no harm: the block reads as missing, and the next call makes
it again with the same bytes. So each writer restores its own entries that are gone: whenever it records a block of the
same piece of the record, and once more at its end (`settle`). Before it restores an entry it looks whether the data is
still there, which it is not if another process replaced the store. One case remains: an entry lost at the very end of
two extractions is found missing by the reader, who is told to run the extraction again.

A block is recorded by rewriting three files of limited size, so it costs the same however many blocks a view has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.group import KnowledgeGroup
from kcd_stores.knowledge.ledger import read_pieces
from kcd_stores.knowledge.records import (
    RecordFormat,
    checksums_name,
    complete_name,
    seconds_name,
    with_checksum,
    without_checksum,
)
from kcd_stores.storage import Storage


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """Record of one block: the time that it took, and the checksums `[A n]` uint32 of its chunks.

    ValueError is raised if the time is not a number of seconds.
    """

    seconds: float
    checksums: NDArray[np.uint32]

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < np.inf:
            raise ValueError(f"a block takes a number of seconds, not {self.seconds}")


class LedgerWriter(Protocol):
    """Records blocks in the ledger of one opened store."""

    def record(self, view: int, block: int, entry: Entry) -> None:
        """Record a block complete, whose data must be durable."""
        ...

    def settle(self) -> None:
        """Make sure, at the end of writing, that the entries of this object are still there."""
        ...


def ledger_writer(opened: KnowledgeGroup, require_unreplaced: Callable[[], None]) -> LedgerWriter:
    """Return the writer of the ledger that fits the storage of `opened`.

    `require_unreplaced` raises StoreReplacedError if another store is there by now.
    """
    if opened.storage.has_lock:
        return LockedLedgerWriter(opened)
    return SharedLedgerWriter(opened, require_unreplaced)


class LockedLedgerWriter:
    """Records blocks where a lock keeps other writers away."""

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._storage, self._format = opened.storage, opened.records
        self._changed: set[str] = set()  # names of files that are not known to be durable

    def record(self, view: int, block: int, entry: Entry) -> None:
        """Record a block complete. A machine that is lost now may lose the record, and the block is made again."""
        number = block // self._format.piece_blocks
        self._changed.update(_write_entries(self._storage, self._format, view, number, {block: entry}))

    def settle(self) -> None:
        """Return when all records are durable; no other writer can have overwritten one."""
        for name in sorted(self._changed):
            self._storage.make_durable(name)
        self._changed.clear()


class SharedLedgerWriter:
    """Records blocks where others may be recording too, and restores entries that they overwrite."""

    def __init__(self, opened: KnowledgeGroup, require_unreplaced: Callable[[], None]) -> None:
        self._opened, self._storage, self._format = opened, opened.storage, opened.records
        self._require_unreplaced = require_unreplaced
        # the entries by block that were recorded through this object, of each piece (view, number)
        self._recorded: dict[tuple[int, int], dict[int, Entry]] = {}

    def record(self, view: int, block: int, entry: Entry) -> None:
        """Record a block complete, and restore other entries of this object that the same piece of the record lacks."""
        number = block // self._format.piece_blocks
        self._recorded.setdefault((view, number), {})[block] = entry
        self._restore(view, number, fresh=block)

    def settle(self) -> None:
        """Restore entries of this object that another writer's record left out."""
        for view, number in sorted(self._recorded):
            self._restore(view, number)

    def _restore(self, view: int, number: int, *, fresh: int | None = None) -> None:
        """Write the entries of this object that a piece of the record lacks, if their data is there.

        The block `fresh` was written a moment ago, so its data is not looked for.
        """
        mine = self._recorded[view, number]
        (piece,) = read_pieces(self._storage, self._format, [(view, number)])
        blocks = self._format.blocks_of(number)
        valid = {block for block, there in zip(blocks, piece.valid.tolist(), strict=True) if there}
        gone = [block for block in mine if block not in valid]
        lost = [block for block in gone if block != fresh and missing_file(self._opened, view, block) is not None]
        for block in lost:
            del mine[block]
        back = {block: mine[block] for block in gone if block not in lost}
        if back:
            _write_entries(self._storage, self._format, view, number, back, again=self._require_unreplaced)


def _write_entries(
    storage: Storage,
    shape: RecordFormat,
    view: int,
    number: int,
    entries: Mapping[int, Entry],
    *,
    again: Callable[[], None] = lambda: None,
) -> list[str]:
    """Write entries of blocks of one piece, beside those that are there: last the one that makes them count.

    A file that cannot be read is begun anew. Blocks that it recorded are missing then, and are made again. If another
    process replaced a file meanwhile, `again` is called before it is changed after all. Returns the names of the files.
    """
    names = []

    def update(name: str, dtype: str, wide: tuple[int, ...], fill: float, values: Mapping[int, Any]) -> None:
        attempts = 0

        def change(found: bytes | None) -> bytes:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                again()
            changed = _values_or_fill(name, found, dtype, wide, fill)
            for at, value in values.items():
                changed[at] = value
            return with_checksum(changed)

        storage.update(name, change)
        names.append(name)

    blocks, part = shape.blocks_of(number), shape.part_of(number)
    sealed = {
        block - blocks.start: np.append(entry.checksums, np.uint32(_seal(shape, view, block, entry)))
        for block, entry in entries.items()
    }
    places = {block - part * shape.part_blocks: entry.seconds for block, entry in entries.items()}
    update(checksums_name(view, number), "<u4", (shape.piece_blocks, shape.entries + 1), 0, sealed)
    update(seconds_name(view, part), "<f8", (shape.part_blocks,), np.nan, places)
    update(complete_name(view, part), "u1", (shape.part_blocks,), 0, dict.fromkeys(places, 1))
    return names


def _seal(shape: RecordFormat, view: int, block: int, entry: Entry) -> int:
    return shape.seal(view, block, entry.seconds, entry.checksums)


def _values_or_fill(name: str, found: bytes | None, dtype: str, shape: tuple[int, ...], fill: float) -> NDArray[Any]:
    """Return the values in a file of the ledger, to be changed; all `fill` if it is missing or damaged."""
    if found is None:
        return np.full(shape, fill, dtype)
    try:
        return without_checksum(name, found, dtype, shape)
    except ValueError:
        return np.full(shape, fill, dtype)


def missing_file(opened: KnowledgeGroup, view: int, block: int) -> str | None:
    """Return the name of the first file of a block's data that is missing; None if all are there."""
    return next((name for name in opened.shard_names(view, block) if not opened.storage.holds(name)), None)
