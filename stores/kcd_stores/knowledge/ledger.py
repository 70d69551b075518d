"""Which blocks of a store are complete and what they cost: the record that makes data count.

    complete [V, B]  uint8: 1 once the block's data is durable
    seconds  [V, B]  float64: what the block cost to make, NaN before

Letters: V views, B blocks in a view; both arrays have one chunk a view.

A local store has one writer, by a lock (kcd_stores.storage.lock). A remote one has no lock that dies with its holder,
so its record is kept safe in another way. A view's record is one object, and two extractions that replace it at the
same moment can lose each other's latest entries. Entries lost are never wrong: the block reads as missing, and is
made again with the same bytes by the next call. So each writer puts back, whenever it records a block of that view
and once more at its end (`settle`), what it recorded itself and finds gone, after a look that the data is still there
(it is not if another process replaced the store). What remains: an entry lost at the very end of two extractions is
found missing by the reader, who is told to run the extraction again.
"""

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from kcd_stores.storage import elements as transfer
from kcd_stores.storage.location import Location


class Ledger:
    """The record of one opened store."""

    def __init__(
        self,
        location: Location,
        complete: "zarr.Array[Any]",
        seconds: "zarr.Array[Any]",
        parts: "list[zarr.Array[Any]]",
    ) -> None:
        self._location, self._complete, self._seconds, self._parts = location, complete, seconds, parts
        self._own: dict[tuple[int, int], float] = {}  # what was recorded through this object, with its seconds
        self._seen = np.zeros(complete.shape, dtype=bool)  # once complete, a block stays so

    def complete(self) -> NDArray[np.bool_]:
        """Which blocks are recorded complete, `[V, B]`, as of now."""
        now = np.asarray(np.asarray(self._complete[:]) == 1)
        self._seen |= now
        return now

    def complete_in(self, view: int, blocks: range) -> NDArray[np.bool_]:
        """Which of `blocks` of a view are complete, `[len(blocks)]`; the store is asked only until they are."""
        if not self._seen[view, blocks.start : blocks.stop].all():
            row = self._complete[view] if self._location.is_local else self._row(self._complete, view)
            self._seen[view] |= np.asarray(row) == 1
        return np.asarray(self._seen[view, blocks.start : blocks.stop])

    def seconds(self) -> float:
        """What the complete blocks cost to make, in seconds."""
        return float(np.asarray(self._seconds[:])[self.complete()].sum())

    def record(self, view: int, block: int, *, seconds: float) -> None:
        """Say that a block is complete: its data must be durable."""
        if self._location.is_local:
            self._seconds[view, block] = seconds
            self._complete[view, block] = 1
            return
        self._own[view, block] = seconds
        self._put_back(view, fresh=block)

    def missing(self, view: int, block: int) -> str | None:
        """The first file or object of a block's data that is not there; None if all are."""
        names = (transfer.object_name(part, view, block) for part in self._parts)
        return next((name for name in names if not self._location.holds(name)), None)

    def settle(self) -> None:
        """Put back what this object recorded and another writer's record left out; of a local store, nothing."""
        for view in sorted({view for view, _ in self._own}):
            self._put_back(view)

    def _put_back(self, view: int, *, fresh: int | None = None) -> None:
        complete = self._row(self._complete, view)
        gone = [block for at, block in self._own if at == view and complete[block] != 1]
        lost = [block for block in gone if block != fresh and self.missing(view, block) is not None]
        for block in lost:
            del self._own[view, block]
        back = [block for block in gone if block not in lost]
        if not back:
            return
        costs = self._row(self._seconds, view)
        for block in back:
            complete[block], costs[block] = 1, self._own[view, block]
        transfer.write(self._location, self._seconds, view, 0, costs)
        transfer.write(self._location, self._complete, view, 0, complete)

    def _row(self, array: "zarr.Array[Any]", view: int) -> NDArray[Any]:
        return transfer.read(self._location, array, view, 0, array.shape[1]).copy()
