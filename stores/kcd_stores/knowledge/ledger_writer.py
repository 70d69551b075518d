"""Write the ledger of a store (kcd_stores.knowledge.ledger) so that no entry is lost for long.

A folder has one writer at a time, by a lock (kcd_stores.storage.lock), so its entries are simply written. An object
store has no lock that dies with its holder. A view's record is one object there, which is replaced only if it is still
the one that was read (`Storage.update`). A service that knows no such condition lets two extractions at the same moment
lose each other's latest entries. A lost entry does no harm: the block reads as missing, and the next call makes it
again with the same bytes. So each writer restores its own entries that are gone: whenever it records a block of that
view, and once more at its end (`settle`). Before it restores an entry it looks whether the data is still there, which
it is not if another process replaced the store. One case remains: an entry lost at the very end of two extractions is
found missing by the reader, who is told to run the extraction again.
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
        self._changed.update(_write_entries(self._storage, self._format, view, {block: entry}))

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
        self._recorded: dict[tuple[int, int], Entry] = {}  # of each (view, block) recorded through this object

    def record(self, view: int, block: int, entry: Entry) -> None:
        """Record a block complete, and restore other entries of this object that the view's record lacks."""
        self._recorded[view, block] = entry
        self._restore(view, fresh=block)

    def settle(self) -> None:
        """Restore entries of this object that another writer's record left out."""
        for view in sorted({view for view, _ in self._recorded}):
            self._restore(view)

    def _restore(self, view: int, *, fresh: int | None = None) -> None:
        """Write the entries of this object that the record of `view` lacks, if their data is there.

        The block `fresh` was written a moment ago, so its data is not looked for.
        """
        mine = [block for at, block in self._recorded if at == view]
        numbers = sorted({block // self._format.piece_blocks for block in mine})
        pieces = read_pieces(self._storage, self._format, [(view, number) for number in numbers])
        valid = {
            block
            for number, piece in zip(numbers, pieces, strict=True)
            for block, there in zip(self._format.blocks_of(number), piece.valid.tolist(), strict=True)
            if there
        }
        gone = [block for block in mine if block not in valid]
        lost = [block for block in gone if block != fresh and missing_file(self._opened, view, block) is not None]
        for block in lost:
            del self._recorded[view, block]
        back = {block: self._recorded[view, block] for block in gone if block not in lost}
        if back:
            _write_entries(self._storage, self._format, view, back, again=self._require_unreplaced)


def _write_entries(
    storage: Storage,
    shape: RecordFormat,
    view: int,
    entries: Mapping[int, Entry],
    *,
    again: Callable[[], None] = lambda: None,
) -> list[str]:
    """Write entries of blocks of one view, beside those that are there: last the one that makes them count.

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

    for number in sorted({block // shape.piece_blocks for block in entries}):
        blocks = shape.blocks_of(number)
        sealed = {
            at: np.append(entries[block].checksums, np.uint32(_seal(shape, view, block, entries[block])))
            for at, block in enumerate(blocks)
            if block in entries
        }
        update(checksums_name(view, number), "<u4", (shape.piece_blocks, shape.entries + 1), 0, sealed)
    seconds = {block: entry.seconds for block, entry in entries.items()}
    update(seconds_name(view), "<f8", (shape.layout.blocks,), np.nan, seconds)
    update(complete_name(view), "u1", (shape.layout.blocks,), 0, dict.fromkeys(entries, 1))
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
