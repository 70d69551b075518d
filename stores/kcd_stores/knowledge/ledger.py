"""The record that makes data count: which blocks of a store are complete, and what they cost.

    complete [V, B]  uint8: 1 once the block's data is durable
    seconds  [V, B]  float64: the time that the block took to make, NaN before

Letters: V views, B blocks in a view; both arrays have one chunk a view.

A local store has one writer, by a lock (kcd_stores.storage.lock). An object store has no lock that dies with its
holder, so its ledger is kept safe in another way. A view's record is one object, and two extractions that replace it
at the same moment can lose each other's latest entries. A lost entry does no harm: the block reads as missing, and
the next call makes it again with the same bytes. So each writer restores its own entries that are gone: whenever it
records a block of that view, and once more at its end (`settle`). Before it restores an entry it looks whether the
data is still there, which it is not if another process replaced the store. One case remains: an entry lost at the very
end of two extractions is found missing by the reader, who is told to run the extraction again.
"""

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from kcd_stores.knowledge.group import KnowledgeGroup
from kcd_stores.storage import elements as transfer
from kcd_stores.storage.location import Location


class Ledger:
    """Reads the ledger of one opened store."""

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._location, self._complete, self._seconds = opened.location, opened.complete, opened.seconds
        self._seen = np.zeros(opened.complete.shape, dtype=bool)  # once complete, a block stays so

    def complete(self) -> NDArray[np.bool_]:
        """Return which blocks are recorded complete at this moment, `[V, B]`."""
        now = np.asarray(np.asarray(self._complete[:]) == 1)
        self._seen |= now
        return now

    def complete_in(self, view: int, blocks: range) -> NDArray[np.bool_]:
        """Return which of `blocks` of a view are complete, `[len(blocks)]`; the store is asked only until they are."""
        if not self._seen[view, blocks.start : blocks.stop].all():
            row = self._complete[view] if self._location.is_local else _read_row(self._location, self._complete, view)
            self._seen[view] |= np.asarray(row) == 1
        return np.asarray(self._seen[view, blocks.start : blocks.stop])

    def seconds(self) -> float:
        """Return the time that the complete blocks took to make, in seconds."""
        return float(np.asarray(self._seconds[:])[self.complete()].sum())


class LedgerWriter:
    """Records blocks in the ledger of one opened store."""

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._location, self._complete, self._seconds = opened.location, opened.complete, opened.seconds
        self._knowledge = opened.knowledge
        self._recorded: dict[tuple[int, int], float] = {}  # seconds of each (view, block) recorded through this object

    def record(self, view: int, block: int, *, seconds: float) -> None:
        """Record a block complete; its data must be durable."""
        if self._location.is_local:
            self._seconds[view, block] = seconds
            self._complete[view, block] = 1
            return
        self._recorded[view, block] = seconds
        self._restore(view, fresh=block)

    def missing(self, view: int, block: int) -> str | None:
        """Return the name of the first file or object of a block's data that is missing; None if all are there."""
        names = (transfer.object_name(array, view, block) for array in self._knowledge.values())
        return next((name for name in names if not self._location.holds(name)), None)

    def settle(self) -> None:
        """Restore the entries of this object that another writer's record left out; a local store needs none."""
        for view in sorted({view for view, _ in self._recorded}):
            self._restore(view)

    def _restore(self, view: int, *, fresh: int | None = None) -> None:
        """Write the entries of this object that the record of `view` lacks; `fresh` was never written, so has data."""
        complete = _read_row(self._location, self._complete, view)
        gone = [block for at, block in self._recorded if at == view and complete[block] != 1]
        lost = [block for block in gone if block != fresh and self.missing(view, block) is not None]
        for block in lost:
            del self._recorded[view, block]
        back = [block for block in gone if block not in lost]
        if not back:
            return
        costs = _read_row(self._location, self._seconds, view)
        for block in back:
            complete[block], costs[block] = 1, self._recorded[view, block]
        transfer.write(self._location, self._seconds, view, 0, costs)
        transfer.write(self._location, self._complete, view, 0, complete)


def _read_row(location: Location, array: "zarr.Array[Any]", view: int) -> NDArray[Any]:
    """Read one view of a ledger array of a remote store, `[B]`, as a copy."""
    return transfer.read(location, array, view, 0, array.shape[1]).copy()
