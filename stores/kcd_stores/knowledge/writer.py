"""Write a knowledge store: create it, fill its blocks, record them complete, let it grow."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from kcd_stores.encodings import Encoding
from kcd_stores.errors import Remedy, StoreError, StoreUsageError
from kcd_stores.knowledge.creation import create_group, create_missing_arrays
from kcd_stores.knowledge.group import KnowledgeGroup, open_group, parse_encoding, parse_layout
from kcd_stores.knowledge.layout import Layout
from kcd_stores.knowledge.ledger import ledger_writer, missing_file
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.storage import Storage, Where, open_storage


class KnowledgeWriter:
    """Writes one knowledge store; made by `create`, `open` or `join`.

    Rows are C logits, and behind them D features if the store holds any.

    Attributes
    ----------
    store
        The reading side of the same store, features included.
    """

    def __init__(self, storage: Storage, group: zarr.Group, *, locked: bool) -> None:
        self._opened = KnowledgeGroup.read(storage, group, features=True)
        self._locked = locked and storage.has_lock  # no other process can replace it while this one writes
        self._ledger = ledger_writer(self._opened)
        self.store = KnowledgeStore(self._opened)

    @classmethod
    def create(
        cls,
        where: Where,
        *,
        layout: Layout,
        encoding: Encoding,
        made_from: Mapping[str, Any],
        fidelity: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> "KnowledgeWriter":
        """Make an empty store at `where`; hold the place meanwhile (`one_writer`), and as long as you write.

        Parameters
        ----------
        made_from
            The data set, augmentation, teacher and software that the rows are made from.
        fidelity
            Measurements of the encoding on some of this teacher's logits, kept for people.
        overwrite
            Remove a store that is there already.

        Raises
        ------
        StoreUsageError
            If the place is taken: by a store without `overwrite`, or by anything that is not a knowledge store.
        """
        storage = open_storage(where)
        group = create_group(
            storage,
            layout=layout,
            encoding=encoding,
            made_from=made_from,
            fidelity=fidelity,
            overwrite=overwrite,
        )
        return cls(storage, group, locked=True)

    @classmethod
    def open(cls, where: Where) -> "KnowledgeWriter":
        """Open the store at `where` to go on with it, and repair what a killed writer left.

        Arrays that are missing are made, and temporary files are removed. Hold the place meanwhile (`one_writer`), and
        as long as you write.

        Raises
        ------
        StoreUsageError
            If nothing is there, or something that is not a knowledge store of this format.
        """
        storage = open_storage(where)
        group = open_group(storage, writable=True)
        storage.remove_partials()
        attributes: dict[str, Any] = dict(group.attrs)
        create_missing_arrays(group, parse_layout(attributes), parse_encoding(attributes, features=True))
        return cls(storage, group, locked=True)

    @classmethod
    def join(cls, where: Where, *, identity: str) -> "KnowledgeWriter":
        """Open the store at `where` to write data (`write_data`) for another process, which records the blocks.

        Nothing is repaired: temporary files may belong to other processes at work.

        Raises
        ------
        StoreUsageError
            If no store is there, or one whose identity is not `identity`.
        """
        storage = open_storage(where)
        writer = cls(storage, open_group(storage, writable=True), locked=False)
        found = writer.store.identity
        if found != identity:
            raise StoreUsageError(
                f"the store at {storage} is {found} as seen from here, but {identity} is being written.",
                remedy=Remedy.SHARE_FOLDER,
            )
        return writer

    def write_block(self, view: int, block: int, rows: NDArray[np.float32], *, seconds: float) -> None:
        """Write the rows of a block, `rows[n, C]` (`[n, C + D]` with features) float32, and record it complete.

        `seconds` is the time that the block took to make. Raises what `write_data` raises.
        """
        self.write_data(view, block, rows)
        self._ledger.record(view, block, seconds=seconds)

    def write_data(self, view: int, block: int, rows: NDArray[np.float32]) -> None:
        """Write the rows of a block, `rows[n, C]` (`[n, C + D]` with features) float32, without recording it.

        The data is durable when this returns; it counts once the block is recorded. Several processes may write the
        same block if all of them have the same rows.

        Raises
        ------
        ValueError
            If the shape is not the block's, or a number is not finite or does not fit the encoding.
        StoreError
            If another process replaced or removed the store. Under a lock this cannot happen and is not looked for.
        """
        span = self.store.layout.rows(block)
        expected = (len(span), self.store.columns)
        if rows.shape != expected:
            raise ValueError(f"block ({view}, {block}) takes rows of shape {expected}, got {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError(f"block ({view}, {block}) holds a number that is not finite")
        parts = self.store.encoding.encode(rows, view=view, first=span.start)
        self._require_unreplaced()
        for name, part in parts.items():
            self._opened.storage.write_elements(self._opened.knowledge[name], view, span.start, part)
        self._require_unreplaced()

    def record_block(self, view: int, block: int, *, seconds: float) -> None:
        """Record complete a block that another process wrote with `write_data`.

        Only one process may record blocks of a local store: a view's record is one file.

        Raises
        ------
        StoreError
            If the data of the block is not there.
        """
        missing = missing_file(self._opened, view, block)
        if missing is not None:
            raise StoreError(
                f"view {view}, block {block} was written by another process, but {missing} is not at "
                f"{self._opened.storage} as seen from here.",
                remedy=Remedy.SHARE_FOLDER,
            )
        self._ledger.record(view, block, seconds=seconds)

    def settle(self) -> None:
        """End writing: restore records of this writer that another one, at work at the same time, has overwritten."""
        self._ledger.settle()

    def remove_partials(self) -> None:
        """Remove temporary files that killed processes left; none may be writing at that moment."""
        self._opened.storage.remove_partials()

    def grow(self, views: int) -> "KnowledgeWriter":
        """Lay the store out for more views, and return a writer of the larger store.

        Complete blocks stay untouched and readers are not disturbed. Only metadata is written: first the arrays'
        shapes, then the layout, which makes them count. A process killed in between has to grow the store again.

        Raises
        ------
        ValueError
            If the store has that many views already.
        """
        layout = self.store.layout
        if views <= layout.views:
            raise ValueError(f"a store of {layout.views} views cannot grow to {views}")
        for array in self._opened.arrays.values():
            array.resize((views, *array.shape[1:]))
        self._opened.group.attrs["layout"] = {**vars(layout), "views": views}
        return KnowledgeWriter.open(self._opened.storage)

    def _require_unreplaced(self) -> None:
        """Raise StoreError if a store that no lock protects is no longer the one that was opened."""
        if self._locked:
            return
        storage = self._opened.storage
        (found,) = storage.fetch(["zarr.json"])
        now: dict[str, Any] = {} if found is None else json.loads(found).get("attributes", {})
        if _lasting(now) != _lasting(dict(self._opened.group.attrs)):
            raise StoreError(
                f"the store at {storage} was replaced or removed by another process while this one was writing "
                f"to it, so this one stops. Let one command at a time write a store; when the other is done, run the "
                f"same command again: it says whether the store is the one that it asks for."
            )


def _lasting(attributes: Mapping[str, Any]) -> str:
    """Return as JSON the attributes that must not change while a store grows: all but the number of views."""
    layout = {key: value for key, value in attributes.get("layout", {}).items() if key != "views"}
    return json.dumps({**attributes, "layout": layout}, sort_keys=True)
