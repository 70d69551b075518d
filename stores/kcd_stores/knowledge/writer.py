"""Write a knowledge store: create it, fill its blocks, record them complete, let it grow."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Encoding
from kcd_stores.errors import Remedy, StoreError, StoreUsageError
from kcd_stores.knowledge.creation import create_store, lay_out_views, make_missing_arrays
from kcd_stores.knowledge.encoded_block import EncodedBlock
from kcd_stores.knowledge.group import KnowledgeGroup, open_group, read_description, require_unreplaced
from kcd_stores.knowledge.layout import Layout
from kcd_stores.knowledge.ledger_writer import Entry, ledger_writer, missing_file
from kcd_stores.knowledge.shards import checksums_of
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.storage import Where, encode_elements, open_storage


class KnowledgeWriter:
    """Writes one knowledge store; made by `create`, `open` or `join`.

    Rows are C logits, and behind them D features if the store holds any.

    Attributes
    ----------
    store
        The reading side of the same store, features included.
    """

    def __init__(self, opened: KnowledgeGroup) -> None:
        self._opened = opened
        self._ledger = ledger_writer(opened, self._require_unreplaced)
        self.store = KnowledgeStore(opened)

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
        create_store(
            storage,
            layout=layout,
            encoding=encoding,
            made_from=made_from,
            fidelity=fidelity,
            overwrite=overwrite,
        )
        return cls(open_group(storage, writable=True, features=True))

    @classmethod
    def open(cls, where: Where) -> "KnowledgeWriter":
        """Open the store at `where` to go on with it, and repair what a killed writer left.

        Arrays that are missing are made, and temporary files are removed. Hold the place meanwhile (`one_writer`), and
        as long as you write. A store of format 1 can be opened, to find that it is complete, but not written to.

        Raises
        ------
        StoreUsageError
            If nothing is there, or something that is not a knowledge store of a known format.
        CorruptStoreError
            If the attributes or the metadata of an array are not what the store was made with.
        """
        storage = open_storage(where)
        description = read_description(storage)
        if description.generation is not None:
            storage.remove_partials()
            make_missing_arrays(storage, description)
        return cls(open_group(storage, writable=True, features=True))

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
        writer = cls(open_group(storage, writable=True, features=True))
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
        encoded = self.begin_block(view, block)
        encoded.add(rows)
        self.finish_block(encoded, seconds=seconds)

    def begin_block(self, view: int, block: int) -> EncodedBlock:
        """Return a block to which rows are added piece by piece, and which `finish_block` or `write_encoded` takes.

        StoreUsageError is raised if the store is of format 1.
        """
        self._require_format()
        store = self.store
        return EncodedBlock(
            store.encoding, view=view, block=block, samples=store.layout.rows(block), columns=store.columns
        )

    def finish_block(self, encoded: EncodedBlock, *, seconds: float) -> None:
        """Write a block that has all of its rows, and record it complete; raises what `write_data` raises."""
        checksums = self.write_encoded(encoded)
        self._ledger.record(encoded.view, encoded.block, Entry(seconds=seconds, checksums=checksums))

    def write_data(self, view: int, block: int, rows: NDArray[np.float32]) -> NDArray[np.uint32]:
        """Write the rows of a block, `rows[n, C]` (`[n, C + D]` with features) float32, without recording it.

        Returns the checksums of the stored chunks, which `record_block` takes. The data is durable when this returns;
        it counts once the block is recorded. Several processes may write the same block if all of them have the same
        rows.

        Raises
        ------
        ValueError
            If the shape is not the block's, or a number is not finite or does not fit the encoding.
        StoreReplacedError
            If another process replaced or removed the store.
        StoreUsageError
            If the store is of format 1.
        """
        encoded = self.begin_block(view, block)
        encoded.add(rows)
        return self.write_encoded(encoded)

    def write_encoded(self, encoded: EncodedBlock) -> NDArray[np.uint32]:
        """Write a block that has all of its rows, without recording it; see `write_data`."""
        parts = encoded.parts()
        self._require_unreplaced()
        first = encoded.samples.start
        checksums = [self._write_array(name, encoded.view, first, parts[name]) for name in self._opened.knowledge]
        self._require_unreplaced()
        return np.concatenate(checksums)

    def _write_array(self, name: str, view: int, first: int, part: NDArray[Any]) -> NDArray[np.uint32]:
        """Write the elements `part` of one array, which are one shard; return the checksums of its chunks."""
        ((file, shard),) = encode_elements(self._opened.knowledge[name], view, first, part)
        self._opened.storage.put(file, shard, check=self._require_unreplaced)
        return checksums_of(shard, self.store.layout)

    def record_block(self, view: int, block: int, checksums: NDArray[np.uint32], *, seconds: float) -> None:
        """Record complete a block that this or another process wrote with `write_data`, which returned `checksums`.

        Only one process may record blocks of a local store: a view's record is one file.

        Raises
        ------
        ValueError
            If these cannot be the checksums of a block, or `seconds` is not a number of seconds.
        StoreError
            If the data of the block is not there, or another process replaced or removed the store.
        StoreUsageError
            If the store is of format 1.
        """
        self._require_format()
        shape = (self._opened.records.entries,)
        if checksums.shape != shape:
            raise ValueError(f"a block has checksums of shape {shape}, got {checksums.shape}")
        missing = missing_file(self._opened, view, block)
        if missing is not None:
            raise StoreError(
                f"view {view}, block {block} was written by another process, but {missing} is not at "
                f"{self._opened.storage} as seen from here.",
                remedy=Remedy.SHARE_FOLDER,
            )
        self._require_unreplaced()
        self._ledger.record(view, block, Entry(seconds=seconds, checksums=checksums))

    def settle(self) -> None:
        """End writing: restore records of this writer that another one, at work at the same time, has overwritten.

        Raises
        ------
        StoreReplacedError
            If another process replaced or removed the store.
        """
        self._require_unreplaced()
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
        self._require_format()
        layout = self.store.layout
        if views <= layout.views:
            raise ValueError(f"a store of {layout.views} views cannot grow to {views}")
        self._require_unreplaced()
        lay_out_views(self._opened.storage, self._opened.description, views)
        return KnowledgeWriter.open(self._opened.storage)

    def _require_format(self) -> None:
        """Raise StoreUsageError if the store is of the format that is no longer written."""
        description = self._opened.description
        if description.generation is None:
            raise StoreUsageError(
                f"the store at {self._opened.storage} is of format {description.format}, which can be read but no "
                f"longer written: its records have no checksums.",
                remedy=Remedy.REPLACE_STORE,
            )

    def _require_unreplaced(self) -> None:
        """Raise StoreReplacedError if the store is no longer the one that was opened.

        A lock keeps other writers away, but not somebody who removes the folder.
        """
        description = self._opened.description
        require_unreplaced(self._opened.storage, description, doing="while this process was writing to it")
