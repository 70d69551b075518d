"""Count what a knowledge store holds: its files or objects, their bytes, its complete rows."""

import numpy as np

from kcd_stores.knowledge.group import KnowledgeGroup
from kcd_stores.knowledge.ledger import Ledger
from kcd_stores.knowledge.records import record_names


class Inventory:
    """Counts of one opened store, taken anew by each call."""

    def __init__(self, opened: KnowledgeGroup, ledger: Ledger) -> None:
        self._opened, self._storage, self._ledger = opened, opened.storage, ledger

    def complete_rows(self) -> int:
        """Return the number of rows in blocks that are recorded complete."""
        return int((self._ledger.complete() * self._opened.description.layout.block_sizes()).sum())

    def files(self) -> int:
        """Return the number of files or objects that the store consists of."""
        return len(self._sizes())

    def bytes_on_disk(self) -> int:
        """Return the size of all files or objects of the store, in bytes."""
        return sum(self._sizes())

    def knowledge_bytes(self) -> int:
        """Return the size of the shards that hold knowledge, in bytes."""
        if self._storage.can_list:
            return sum(sum(self._storage.sizes(f"{name}/c")) for name in self._opened.knowledge)
        return sum(self._storage.sizes_of(self._shards()))

    def _sizes(self) -> list[int]:
        """Return the bytes of each file or object."""
        if self._storage.can_list:
            return self._storage.sizes()
        records = self._opened.records
        views = range(records.layout.views)
        names = [name for view in views for name in record_names(records, view)]
        metadata = ["zarr.json", *(f"{name}/zarr.json" for name in self._opened.arrays)]
        return self._storage.sizes_of([*metadata, *names, *self._shards()])

    def _shards(self) -> list[str]:
        """Return the names of all shards that are recorded complete."""
        places = [(int(view), int(block)) for view, block in np.argwhere(self._ledger.complete())]
        return [name for view, block in places for name in self._opened.shard_names(view, block)]
