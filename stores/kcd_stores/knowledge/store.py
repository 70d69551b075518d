"""The knowledge store: a teacher's logits for every view of every sample, written once and read by many runs.

On disk it is a plain zarr (format 3) group:

    zarr.json            attributes: the format, what the store was made from, the layout, the encoding
    logits   [V, N, C]   one shard per (view, block); floating-point, with NaN where never written, or bytes with
                         `scale_factor` and `add_offset` among the array's attributes; the encodings `topk`,
                         `sample`, `pca` and `pq` have other arrays in its place, described in kcd_stores.encodings
    complete [V, B]      uint8: 1 once the block's logits are durable
    seconds  [V, B]      float64: the time that the block took to make, NaN before
    checksums [V, B, E]  uint32: the crc32c of each stored chunk of a block, and a seal over its record

Two extractions of the same knowledge differ in what is measured or drawn: `seconds`, the generation in the attributes,
and so the seals. Letters: V views, N samples, C classes, B blocks in a view, E checksums of a block and the seal.
A KnowledgeStore reads; kcd_stores.knowledge.writer writes.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Packing, encoding_label
from kcd_stores.errors import CorruptStoreError, IncompleteStoreError, Remedy, StoreMismatchError
from kcd_stores.knowledge.description import difference_lines, differences
from kcd_stores.knowledge.group import KnowledgeGroup, open_group, require_unreplaced
from kcd_stores.knowledge.inventory import Inventory
from kcd_stores.knowledge.ledger import Ledger, Survey
from kcd_stores.knowledge.shards import DamageError, ShardedArray
from kcd_stores.sizes import PIECE_BYTES
from kcd_stores.storage import Where, open_storage

LISTED = 3  # unreadable records that a message names
NO_CHECKSUMS = (
    "the store at {} is of format 1, which has no checksums of its description and its records: damage to these may go "
    "unnoticed. Extracted anew, it has them."
)


class KnowledgeStore:
    """One knowledge store, opened for reading; made by `open`, never by hand.

    Attributes
    ----------
    storage
        The folder that it is in, or the URL.
    location
        The same as text, for messages.
    layout
        Its sizes, and how they are cut into blocks and chunks.
    encoding
        The encoding of its rows: of the logits, and of the features if they are read too.
    packing
        The form in which its rows are held in memory until they are decoded.
    features
        The number of features that it holds and their encoding, whether they are read or not; None without any.
    made_from
        The data set, augmentation, teacher and software that it was made from.
    fidelity
        Measurements of the encoding, taken when the store was made (kcd_stores.knowledge.fidelity), or None.
    trial
        The encodings that were tried when the store was made, if one of them was chosen then, as
        `EncodingTrial.as_attribute` describes them (kcd_stores.knowledge.trial); else None.
    arrays
        Its zarr arrays by name.
    notice
        A sentence about what this store lacks, for people: that it is of the first format; None for others.
    inventory
        Counts of its files, bytes and complete rows.
    bytes_read
        Bytes of files or objects that were read for rows through this object, as they are stored.
    """

    def __init__(self, opened: KnowledgeGroup) -> None:
        self.storage, self.location = opened.storage, str(opened.storage)
        self._opened, self.encoding, self.arrays = opened, opened.encoding, opened.arrays
        description = opened.description
        self.layout, self.features = description.layout, description.features
        self.made_from: dict[str, Any] = description.attributes["made_from"]
        self.fidelity: dict[str, Any] | None = description.attributes.get("fidelity")
        self.trial: dict[str, Any] | None = description.attributes.get("trial")
        self.notice = None if description.generation is not None else NO_CHECKSUMS.format(self.location)
        self.packing = Packing(encoding=self.encoding, classes=self.layout.classes)
        self._readers = {spec.name: ShardedArray(self.storage, spec, self.layout) for spec in self.packing.arrays}
        self._first_checksum = {name: place * self.layout.chunks for place, name in enumerate(opened.all_names)}
        self._ledger = Ledger(opened)
        self.inventory = Inventory(opened, self._ledger)
        self.bytes_read, self._counting = 0, Lock()

    @classmethod
    def open(cls, where: Where, *, features: bool = False) -> "KnowledgeStore":
        """Open the store at `where`.

        Rows are C logits; with `features`, the D features of a store that has them follow behind. A store without
        logits is always read with its features, which are its rows.

        Raises
        ------
        StoreUsageError
            If nothing is there, or something that is not a knowledge store of a known format.
        IncompleteStoreError
            If the process that made the store was killed before it had made all arrays.
        CorruptStoreError
            If the attributes or the metadata of an array are not what the store was made with.
        """
        return cls(open_group(open_storage(where), writable=False, features=features))

    @property
    def path(self) -> Path:
        """The folder of a local store; StoreUsageError is raised for a remote one."""
        return self.storage.path

    @property
    def identity(self) -> str:
        """Twelve hex digits, equal for two stores only if both hold the same knowledge in the same encoding.

        They do not depend on the number of views: a store that grows keeps its identity.
        """
        facts = {"made_from": self.made_from, "encoding": self.describe_encoding()}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def describe_encoding(self) -> dict[str, Any]:
        """Return the encoding's name and settings, and those of the features if any, as the attributes hold them."""
        features = {} if self.features is None else {"features": self.features}
        return {"name": self.encoding.name, **self.encoding.settings(), **features}

    @property
    def encoding_label(self) -> str:
        """The encoding and its settings as people write them: `float16`, `topk(k=8)`, `features alone`."""
        return encoding_label(self.encoding) if self.layout.classes else "features alone"

    def complete(self) -> NDArray[np.bool_]:
        """Return which blocks are recorded complete at this moment, `[V, B]`."""
        return self._ledger.complete()

    def survey(self) -> Survey:
        """Return which blocks are complete at this moment, their seconds, and what is wrong with their records."""
        return self._ledger.survey()

    def require_unreplaced(self) -> None:
        """Raise StoreReplacedError if the store is no longer the one that was opened."""
        require_unreplaced(self.storage, self._opened.description, doing="while this process was reading it")

    def seconds(self) -> float:
        """Return the time that the complete blocks took to make, in seconds."""
        return self._ledger.seconds()

    def require_views(self, views: int) -> None:
        """Raise an error if views `0 .. views-1` are not all there and complete.

        Raises
        ------
        StoreMismatchError
            If the store has fewer views.
        IncompleteStoreError
            If blocks of them were never recorded complete; the message says how many.
        """
        if views > self.layout.views:
            raise StoreMismatchError(
                f"the store at {self.location} has {self.layout.views} views, but {views} are asked for.",
                remedy=Remedy.LIMIT_VIEWS,
            )
        found = self.survey()
        complete = found.complete[:views]
        if not complete.all():
            self.require_unreplaced()
            unreadable = (
                f" Records that cannot be read: {'; '.join(found.problems[:LISTED])}." if found.problems else ""
            )
            raise IncompleteStoreError(
                f"the store at {self.location} is not finished: {int(complete.sum())} of {complete.size} blocks are "
                f"complete.{unreadable}",
                remedy=Remedy.FINISH_STORE,
            )

    def require_made_from(self, expected: Mapping[str, Any]) -> None:
        """Raise an error if the store was not made from what is `expected`; keys that `expected` lacks do not matter.

        Raises
        ------
        StoreMismatchError
            If they differ; the message names both sides of each difference.
        """
        found = differences(self.made_from | {"encoding": self.describe_encoding()}, expected)
        if found:
            raise StoreMismatchError(
                f"the store at {self.location} was made from something else than is asked for:\n"
                f"{difference_lines(found)}\n",
                remedy=Remedy.MATCH_STORE,
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of decoded rows."""
        return self.packing.dtype

    @property
    def columns(self) -> int:
        """Numbers in a row: C, and D more if features are read too."""
        return self.packing.columns

    @property
    def row_bytes(self) -> int:
        """Bytes of one decoded row in memory."""
        return self.packing.decoded_bytes

    @property
    def concurrent_reads(self) -> int:
        """How many reads are worth making at once: 1 of a folder, where each read decodes in parallel itself."""
        return self.storage.parallel_reads

    def read_view(self, view: int) -> NDArray[Any]:
        """Read and decode all rows of one view, `[N, C]` (`[N, C + D]` with features) in a floating dtype.

        Raises
        ------
        IncompleteStoreError
            If a block of the view was never recorded complete.
        CorruptStoreError
            If data that is recorded complete is missing, is not what was recorded, fails its checksum or is not finite.
        StoreReplacedError
            If another process replaced or removed the store.
        """
        return self.read_rows(view, 0, self.layout.samples)

    def read_rows(self, view: int, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read rows `[start, stop)` of one view, `[stop - start, columns]`, into `out` if it is given.

        Raises
        ------
        IncompleteStoreError, CorruptStoreError, StoreReplacedError
            As `read_view` does.
        IndexError
            If the store has no such view or rows.
        ValueError
            If `out` is not a contiguous array of that shape and of the store's dtype.
        """
        self._require_inside(view, start, stop)
        wanted = (stop - start, self.columns)
        rows = np.empty(wanted, self.dtype) if out is None else out
        if rows.shape != wanted or rows.dtype != self.dtype or not rows.flags.c_contiguous:
            raise ValueError(f"rows go into a contiguous array of {wanted} {self.dtype}, got {rows.shape} {rows.dtype}")
        if self.packing.plain:
            self.read_packed(view, start, stop, rows.view(np.uint8))
            return rows
        packed = self.read_packed(view, start, stop)
        for first in range(0, len(rows), step := max(PIECE_BYTES // self.row_bytes, 1)):
            rows[first : first + step] = self.packing.decode(packed[first : first + step])
        return rows

    def read_packed(self, view: int, start: int, stop: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Read rows `[start, stop)` of one view as they are held, `[stop - start, W]`, into `out` if it is given.

        `packing` decodes them; see `Packing`.

        Raises
        ------
        IncompleteStoreError, CorruptStoreError, StoreReplacedError
            As `read_view` does.
        IndexError
            If the store has no such view or rows.
        ValueError
            If `out` is not a contiguous array of that shape.
        """
        self._require_inside(view, start, stop)
        wanted = (stop - start, self.packing.row_bytes)
        packed = np.empty(wanted, np.uint8) if out is None else out
        if packed.shape != wanted or packed.dtype != np.uint8 or not packed.flags.c_contiguous:
            raise ValueError(f"packed rows go into a contiguous array of {wanted} bytes, got {packed.shape}")
        blocks = range(start // self.layout.block_rows, (stop - 1) // self.layout.block_rows + 1)
        checksums = self._recorded(view, blocks)
        for name, elements in self.packing.elements(packed).items():
            self._read_part(name, view, start, elements, checksums)
        return packed

    def _require_inside(self, view: int, start: int, stop: int) -> None:
        if not (0 <= view < self.layout.views and 0 <= start < stop <= self.layout.samples):
            raise IndexError(f"rows {start}:{stop} of view {view} in a store of {self.layout}")

    def _recorded(self, view: int, blocks: range) -> dict[int, NDArray[np.uint32]]:
        """Return the recorded checksums of each of `blocks`; raise an error if one was never recorded complete."""
        found = self._ledger.checksums(view, blocks)
        complete = {block: sums for block, sums in zip(blocks, found, strict=True) if sums is not None}
        missing = next((block for block in blocks if block not in complete), None)
        if missing is not None:
            self.require_unreplaced()
            raise IncompleteStoreError(
                f"view {view}, block {missing} of the store at {self.location} was never recorded complete.",
                remedy=Remedy.FINISH_STORE,
            )
        return complete

    def _read_part(
        self, name: str, view: int, start: int, part: NDArray[Any], checksums: Mapping[int, NDArray[np.uint32]]
    ) -> None:
        """Read elements of one array, from sample `start` on, into `part`; raise an error if one cannot be data.

        `checksums` has those of all arrays of each block, one array after the other.
        """
        first = self._first_checksum[name]
        own = {block: sums[first : first + self.layout.chunks] for block, sums in checksums.items()}
        try:
            taken = self._readers[name].read(view, start, start + len(part), part, own)
        except DamageError as error:
            self.require_unreplaced()
            file = self._readers[name].name(view, error.block)
            raise CorruptStoreError(
                f"the store at {self.location} is damaged in {file}: {error}. The data is recorded complete but cannot "
                f"be read back, so nothing that uses this view can be trusted.",
                damage=f"{file}: {error}",
                remedy=Remedy.RESTORE_STORE,
            ) from error
        with self._counting:
            self.bytes_read += taken
