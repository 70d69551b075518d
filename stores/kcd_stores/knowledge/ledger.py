"""The record that makes data count: which blocks of a store are complete, and what they cost.

    complete [V, B]  uint8: 1 once the block's data is durable
    seconds  [V, B]  float64: the time that the block took to make, NaN before

Letters: V views, B blocks in a view; both arrays have one chunk a view.

A folder has one writer at a time, by a lock (kcd_stores.storage.lock), so its entries are simply written. An object
store has no lock that dies with its holder, so its ledger is kept safe in another way. A view's record is one object,
and two extractions that replace it at the same moment can lose each other's latest entries. A lost entry does no harm:
the block reads as missing, and the next call makes it again with the same bytes. So each writer restores its own
entries that are gone: whenever it records a block of that view, and once more at its end (`settle`). Before it restores
an entry it looks whether the data is still there, which it is not if another process replaced the store. One case
remains: an entry lost at the very end of two extractions is found missing by the reader, who is told to run the
extraction again.
"""

from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from kcd_stores.knowledge.group import KnowledgeGroup
from kcd_stores.storage import object_name


class Ledger:
    """Reads the ledger of one opened store."""

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._opened = opened
        self._seen = np.zeros(opened.complete.shape, dtype=bool)  # once complete, a block stays so

    def complete(self) -> NDArray[np.bool_]:
        """Return which blocks are recorded complete at this moment, `[V, B]`."""
        now = np.asarray(np.asarray(self._opened.complete[:]) == 1)
        self._seen |= now
        return now

    def complete_in(self, view: int, blocks: range) -> NDArray[np.bool_]:
        """Return which of `blocks` of a view are complete, `[len(blocks)]`; the store is asked only until they are."""
        if not self._seen[view, blocks.start : blocks.stop].all():
            self._seen[view] |= _read_record(self._opened, self._opened.complete, view) == 1
        return np.asarray(self._seen[view, blocks.start : blocks.stop])

    def seconds(self) -> float:
        """Return the time that the complete blocks took to make, in seconds."""
        return float(np.asarray(self._opened.seconds[:])[self.complete()].sum())


class LedgerWriter(Protocol):
    """Records blocks in the ledger of one opened store."""

    def record(self, view: int, block: int, *, seconds: float) -> None:
        """Record a block complete, whose data must be durable, and the time that it took to make."""
        ...

    def settle(self) -> None:
        """Make sure, at the end of writing, that the entries of this object are still there."""
        ...


def ledger_writer(opened: KnowledgeGroup) -> LedgerWriter:
    """Return the writer of the ledger that fits the storage of `opened`."""
    return LockedLedgerWriter(opened) if opened.storage.has_lock else SharedLedgerWriter(opened)


class LockedLedgerWriter:
    """Records blocks where a lock keeps other writers away."""

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._complete, self._seconds = opened.complete, opened.seconds

    def record(self, view: int, block: int, *, seconds: float) -> None:
        """Record a block complete, the time that it took first."""
        self._seconds[view, block] = seconds
        self._complete[view, block] = 1

    def settle(self) -> None:
        """Do nothing: no other writer can have overwritten an entry."""


class SharedLedgerWriter:
    """Records blocks where others may be recording too, and restores entries that they overwrite."""

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._opened = opened
        self._recorded: dict[tuple[int, int], float] = {}  # seconds of each (view, block) recorded through this object

    def record(self, view: int, block: int, *, seconds: float) -> None:
        """Record a block complete, and restore other entries of this object that the view's record lacks."""
        self._recorded[view, block] = seconds
        self._restore(view, fresh=block)

    def settle(self) -> None:
        """Restore entries of this object that another writer's record left out."""
        for view in sorted({view for view, _ in self._recorded}):
            self._restore(view)

    def _restore(self, view: int, *, fresh: int | None = None) -> None:
        """Write the entries of this object that the record of `view` lacks, if their data is there.

        The block `fresh` was written a moment ago, so its data is not looked for.
        """
        opened = self._opened
        complete = _read_record(opened, opened.complete, view)
        gone = [block for at, block in self._recorded if at == view and complete[block] != 1]
        lost = [block for block in gone if block != fresh and missing_file(opened, view, block) is not None]
        for block in lost:
            del self._recorded[view, block]
        back = [block for block in gone if block not in lost]
        if not back:
            return
        seconds = _read_record(opened, opened.seconds, view)
        for block in back:
            complete[block], seconds[block] = 1, self._recorded[view, block]
        opened.storage.write_elements(opened.seconds, view, 0, seconds)
        opened.storage.write_elements(opened.complete, view, 0, complete)


def missing_file(opened: KnowledgeGroup, view: int, block: int) -> str | None:
    """Return the name of the first file of a block's data that is missing; None if all are there."""
    names = (object_name(array.path, view, block, ndim=array.ndim) for array in opened.knowledge.values())
    return next((name for name in names if not opened.storage.holds(name)), None)


def _read_record(opened: KnowledgeGroup, array: "zarr.Array[Any]", view: int) -> NDArray[Any]:
    """Read one view of an array of the ledger, `[B]`."""
    return opened.storage.read_elements(array, view, 0, array.shape[1])
