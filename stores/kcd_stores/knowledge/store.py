"""The knowledge store: a teacher's logits for every view of every sample, written once and read by many runs.

On disk it is a plain zarr (format 3) group:

    zarr.json            attributes: format, what it was made from, how it is cut
    logits   [V, N, C]   NaN where never written; one shard per (view, block); the encodings `topk` and `sample`
                         have other arrays in its place, described in kcd_stores.encodings.sparse
    complete [V, B]      uint8: 1 once the block's logits are durable
    seconds  [V, B]      float64: what the block cost to make, NaN before; a measurement, so the only part that
                         differs between two extractions of the same knowledge

Letters: V views, N samples, C classes, B blocks in a view.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from kcd_stores.encodings import Encoding, describe_features, make_encoding, with_features
from kcd_stores.errors import (
    CorruptStoreError,
    IncompleteStoreError,
    StoreError,
    StoreMismatchError,
    StoreUsageError,
)
from kcd_stores.knowledge import creation
from kcd_stores.knowledge.creation import (
    KIND,
    existing_array,
    refuse_foreign,
    require_arrays,
    require_something,
    unchanging,
)
from kcd_stores.knowledge.description import differences, listed
from kcd_stores.knowledge.layout import Layout
from kcd_stores.knowledge.ledger import Ledger
from kcd_stores.knowledge.shards import DamageError, ShardedArray
from kcd_stores.sizes import DEFAULT_MEMORY, PIECE_BYTES
from kcd_stores.storage import elements as transfer
from kcd_stores.storage.location import AT_ONCE, Location, Where

FORMAT = 1


class KnowledgeStore:
    """One knowledge store, opened; made by `create` or `open`, never by hand.

    Attributes
    ----------
    location
        Where it lies: a folder, or a prefix in an object store.
    layout
        Its sizes and how it is cut.
    encoding
        How its logits are laid down, and with them features where they are read too.
    features
        What features it holds, whether they are read or not: how many, and how laid down; None if there are none.
    made_from
        What it was made from: data set, augmentation, teacher, software.
    fidelity
        What was measured of the encoding when the store was made (kcd_stores.knowledge.fidelity), or None.
    bytes_read
        Bytes of files or objects that were read for rows through this object, as they are stored.
    """

    def __init__(self, location: Location, group: zarr.Group, *, features: bool = True, locked: bool = True) -> None:
        attributes: dict[str, Any] = dict(group.attrs)
        self._locked = locked and location.is_local  # nobody else can replace it while this process writes
        self.location = location
        self.layout = Layout(**attributes["layout"])
        self.encoding: Encoding = make_encoding(**attributes["encoding"])
        self.features: dict[str, Any] | None = attributes.get("features")
        if features:
            self.encoding = with_features(self.encoding, self.features)
        self.made_from: dict[str, Any] = attributes["made_from"]
        self.fidelity: dict[str, Any] | None = attributes.get("fidelity")
        self._group = group
        self._specs = self.encoding.arrays(self.layout.classes)
        self._parts = {spec.name: existing_array(location, group, spec.name) for spec in self._specs}
        self._readers = {spec.name: ShardedArray(location, spec, self.layout) for spec in self._specs}
        self.bytes_read, self._counting = 0, Lock()
        self._ledger_arrays = (existing_array(location, group, "complete"), existing_array(location, group, "seconds"))
        self._ledger = Ledger(location, *self._ledger_arrays, list(self._parts.values()))

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
    ) -> "KnowledgeStore":
        """Make an empty store at `where`; `overwrite` removes the store that lies there.

        `fidelity` is kept for people: what was measured of the encoding on some of this teacher's logits.

        Raises
        ------
        StoreUsageError
            If something lies at `where` and is not to be, or cannot be, overwritten.
        """
        location = Location.of(where)
        if not location.is_vacant():
            refuse_foreign(location)
            if not overwrite:
                raise StoreUsageError(f"a store lies at {location} already; open it, or overwrite it on purpose")
        attributes = {
            "format": FORMAT,
            "kind": KIND,
            "encoding": {"name": encoding.name, **encoding.settings()},
            "features": describe_features(encoding),
            "layout": vars(layout),
            "made_from": dict(made_from),
            "fidelity": None if fidelity is None else dict(fidelity),
        }
        group = zarr.create_group(location.zarr_store(), zarr_format=3, overwrite=overwrite, attributes=attributes)
        require_arrays(group, layout, encoding)
        return cls(location, group)

    @classmethod
    def open(cls, where: Where, *, writable: bool = False, features: bool = False) -> "KnowledgeStore":
        """Open the store at `where`, for reading unless `writable`.

        With `features`, or to write, rows are C logits and then the D features of a store that has them; without,
        features are not read.

        A writable store is first tidied of what a killed writer left: metadata not yet written is, and
        temporary files are removed.

        Raises
        ------
        StoreUsageError
            If nothing lies there, or what lies there is not a knowledge store of this format.
        """
        location = Location.of(where)
        group = cls._group_at(location, writable=writable)
        if writable:
            attributes: dict[str, Any] = dict(group.attrs)
            location.remove_partials()
            encoding = with_features(make_encoding(**attributes["encoding"]), attributes.get("features"))
            require_arrays(group, Layout(**attributes["layout"]), encoding)
        return cls(location, group, features=writable or features)

    @classmethod
    def join(cls, where: Where, *, identity: str) -> "KnowledgeStore":
        """Open the store at `where` to write data (`write_data`) for the process that made it and records what counts.

        Nothing is tidied: temporary files there may be those of others at work.

        Raises
        ------
        StoreUsageError
            If no store lies there, or another one than that of `identity`.
        """
        location = Location.of(where)
        store = cls(location, cls._group_at(location, writable=True), locked=False)
        if store.identity != identity:
            raise StoreUsageError(
                f"the store at {location} is {store.identity} as seen from here, but {identity} is being written. Let "
                f"every process see the same folder at store.path, such as one of a shared file system, or use a URL."
            )
        return store

    @staticmethod
    def _group_at(location: Location, *, writable: bool) -> zarr.Group:
        if location.is_local:  # elsewhere it would be requests that tell nothing new when all is well
            require_something(location)
        try:
            group = zarr.open_group(
                location.zarr_store(read_only=not writable), mode="r+" if writable else "r", zarr_format=3
            )
        except (FileNotFoundError, ValueError) as error:
            require_something(location)
            raise StoreUsageError(
                f"{location} is not a knowledge store: no readable zarr group lies there ({error}). "
                f"Set store.path to a folder that `kcd-pipeline extract-teacher` made, or to a new one."
            ) from error
        attributes: dict[str, Any] = dict(group.attrs)
        if attributes.get("kind") != KIND or attributes.get("format") != FORMAT:
            raise StoreUsageError(
                f"{location} is not a knowledge store that can be read here: found kind "
                f"{attributes.get('kind')!r} of format {attributes.get('format')!r}, expected kind "
                f"{KIND!r} of format {FORMAT}. Extract it anew with `--overwrite`, or use another store.path."
            )
        return group

    @property
    def path(self) -> Path:
        """The folder of a local store; StoreUsageError of a remote one."""
        return self.location.path

    @property
    def identity(self) -> str:
        """Twelve hex digits that two stores share only if a row of both is the same knowledge in the same encoding.

        The number of views does not count: a store that grows stays the store that it is.
        """
        facts = {"made_from": self.made_from, "encoding": self.describe_encoding()}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def describe_encoding(self) -> dict[str, Any]:
        """Name and settings of the encoding, and of the features where there are any, as the attributes hold them."""
        features = {} if self.features is None else {"features": self.features}
        return {"name": self.encoding.name, **self.encoding.settings(), **features}

    @property
    def encoding_label(self) -> str:
        """The encoding and its settings for people, such as `float16` or `topk(k=8)`."""
        settings = ", ".join(f"{key}={value}" for key, value in self.encoding.settings().items())
        return f"{self.encoding.name}({settings})" if settings else self.encoding.name

    # --- writing -----------------------------------------------------------------------------------------

    def write_block(self, view: int, block: int, logits: NDArray[np.float32], *, seconds: float) -> None:
        """Write `logits[n, C]` float32 (`[n, C + D]` with features), a block's rows, then record the block complete.

        Raises as `write_data` does.
        """
        self.write_data(view, block, logits)
        self._ledger.record(view, block, seconds=seconds)

    def write_data(self, view: int, block: int, logits: NDArray[np.float32]) -> None:
        """Write `logits[n, C]` float32, the rows of one block, durably; they count once the block is recorded.

        The same block may be written by several processes, if all have the same logits.

        Raises
        ------
        ValueError
            If the shape is not the block's, or a logit is not finite or does not fit the encoding.
        StoreError
            If the store was replaced or removed by another process, as far as none was kept from it by a lock.
        """
        rows = self.layout.rows(block)
        expected = (len(rows), self.columns)
        if logits.shape != expected:
            raise ValueError(f"block ({view}, {block}) takes logits of shape {expected}, got {logits.shape}")
        if not np.isfinite(logits).all():
            raise ValueError(f"block ({view}, {block}) holds a logit that is not finite")
        parts = self.encoding.encode(logits, view=view, first=rows.start)
        self._require_unreplaced()
        for name, part in parts.items():
            array = self._parts[name]
            if self.location.is_local:
                array[view, rows.start : rows.stop] = part
                self.location.make_durable(transfer.object_name(array, view, block))
            else:
                transfer.write(self.location, array, view, rows.start, part)
        self._require_unreplaced()

    def record_block(self, view: int, block: int, *, seconds: float) -> None:
        """Record complete a block whose data another process wrote with `write_data`.

        Of a local store one process does so: a view's record is one file.

        Raises
        ------
        StoreError
            If its data is not there.
        """
        missing = self._ledger.missing(view, block)
        if missing is not None:
            raise StoreError(
                f"view {view}, block {block} was written by another process, but {missing} is not at {self.location} "
                f"as seen from here. Let every process see the same folder at store.path, such as one of a shared "
                f"file system, or use a URL; then run the same command again."
            )
        self._ledger.record(view, block, seconds=seconds)

    def settle(self) -> None:
        """End writing: see that what was written here is still recorded, where others may have been writing too."""
        self._ledger.settle()

    def _require_unreplaced(self) -> None:
        """See that a store which no lock of this process protects is still the one that was opened."""
        if self._locked:
            return
        (found,) = self.location.fetch(["zarr.json"])
        now: dict[str, Any] = {} if found is None else json.loads(found).get("attributes", {})
        if unchanging(now) != unchanging(dict(self._group.attrs)):
            raise StoreError(
                f"the store at {self.location} was replaced or removed by another process while this one was writing "
                f"to it, so this one stops. Let one command at a time write a store; when the other is done, run the "
                f"same command again: it says whether the store is the one that it asks for."
            )

    def grow(self, views: int) -> "KnowledgeStore":
        """Lay the store out for more views; what is there stays untouched, and readers of it are not disturbed.

        Only metadata is written: the arrays' shapes first, then the layout that makes them count, so that a grower
        that is killed in between is simply made to grow again.

        Raises
        ------
        ValueError
            If that is not more views than there are.
        """
        if views <= self.layout.views:
            raise ValueError(f"a store of {self.layout.views} views cannot grow to {views}")
        for array in (*self._parts.values(), *self._ledger_arrays):
            array.resize((views, *array.shape[1:]))
        self._group.attrs["layout"] = {**vars(self.layout), "views": views}
        return KnowledgeStore.open(self.location, writable=True)

    # --- reading -----------------------------------------------------------------------------------------

    def complete(self) -> NDArray[np.bool_]:
        """Which blocks are recorded complete, `[V, B]`, as of now."""
        return self._ledger.complete()

    def complete_rows(self) -> int:
        """How many rows lie in complete blocks."""
        sizes = np.array([len(self.layout.rows(block)) for block in range(self.layout.blocks)])
        return int((self.complete() * sizes).sum())

    def seconds(self) -> float:
        """What the complete blocks cost to make, in seconds."""
        return self._ledger.seconds()

    def require_views(self, views: int) -> None:
        """Check that views `0 .. views-1` are there and complete.

        Raises
        ------
        IncompleteStoreError
            If one is not, saying how much is missing.
        """
        if views > self.layout.views:
            raise StoreMismatchError(
                f"the store at {self.location} has {self.layout.views} views, but {views} are asked for. "
                f"Set store.views to {self.layout.views} or fewer, or let `kcd-pipeline extract-teacher` add views."
            )
        complete = self.complete()[:views]
        if not complete.all():
            raise IncompleteStoreError(
                f"the store at {self.location} is not finished: {int(complete.sum())} of {complete.size} blocks are "
                f"complete. Run the same `kcd-pipeline extract-teacher` again: it makes only what is missing."
            )

    def require_made_from(self, expected: Mapping[str, Any]) -> None:
        """Check what the store was made from against `expected`, over the keys that `expected` names.

        Raises
        ------
        StoreMismatchError
            Naming both sides of each difference.
        """
        found = differences(self.made_from | {"encoding": self.describe_encoding()}, expected)
        if found:
            raise StoreMismatchError(
                f"the store at {self.location} was made from something else than this config describes:\n"
                f"{listed(found)}\n"
                f"Point store.path at the store that belongs to this config, change the config to what the store "
                f"holds, or extract it anew with `kcd-pipeline extract-teacher CONFIG --overwrite`."
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of decoded rows."""
        nothing = {name: np.empty((0, *array.shape[2:]), array.dtype) for name, array in self._parts.items()}
        return self.encoding.decode(nothing, self.layout.classes).dtype

    @property
    def columns(self) -> int:
        """Numbers in a row: C, and D more where features are read with it."""
        return self.layout.classes + self.encoding.feature_columns

    @property
    def row_bytes(self) -> int:
        """Bytes of one decoded row in memory."""
        return self.columns * self.dtype.itemsize

    @property
    def concurrent_reads(self) -> int:
        """How many reads are worth making at once: 1 of a local store, which decodes in parallel itself."""
        return 1 if self.location.is_local else AT_ONCE

    def batches(
        self,
        *,
        view: int,
        batch_size: int,
        seed: int = 0,
        epoch: int = 0,
        kept: NDArray[np.int64] | None = None,
        memory: str | int = DEFAULT_MEMORY,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """One epoch for a training loop of your own: `(index[B], rows[B, C])`, each sample once.

        Parameters
        ----------
        view
            Which view's rows; show the same view of the images.
        seed, epoch
            Decide the order, and nothing else does but the mode of streaming (see kcd_stores.streaming.open).
        kept
            Samples to go through, ascending; all if not given.
        memory
            What rows may take, in bytes or such as `512MB`.

        Raises
        ------
        StoreUsageError
            If `memory` does not hold even two windows, or the view is not there or not complete.
        CorruptStoreError
            As `read_view` does.
        """
        from kcd_stores.streaming.batches import batches  # it needs this module

        return batches(self, view=view, batch_size=batch_size, seed=seed, epoch=epoch, kept=kept, memory=memory)

    def read_view(self, view: int) -> NDArray[Any]:
        """All rows of one view, decoded: `[N, C]` in a floating dtype.

        Raises
        ------
        IncompleteStoreError
            If a block of the view was never recorded complete.
        CorruptStoreError
            If data that is recorded complete is missing, fails its checksum or is not finite.
        """
        return self.read_rows(view, 0, self.layout.samples)

    def read_rows(self, view: int, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Rows `[start, stop)` of one view, `[stop - start, C]`, in `out` where it is given; raises as `read_view`."""
        if not (0 <= view < self.layout.views and 0 <= start < stop <= self.layout.samples):
            raise IndexError(f"rows {start}:{stop} of view {view} in a store of {self.layout}")
        blocks = range(start // self.layout.block_rows, (stop - 1) // self.layout.block_rows + 1)
        complete = self._ledger.complete_in(view, blocks)
        if not complete.all():
            raise IncompleteStoreError(
                f"view {view}, block {blocks[int(np.argmin(complete))]} of the store at {self.location} was never "
                f"recorded complete. Run the same `kcd-pipeline extract-teacher` again to finish it."
            )
        wanted = (stop - start, self.columns)
        rows = np.empty(wanted, self.dtype) if out is None else out
        if rows.shape != wanted or rows.dtype != self.dtype or not rows.flags.c_contiguous:
            raise ValueError(f"rows go into a contiguous array of {wanted} {self.dtype}, got {rows.shape} {rows.dtype}")
        if list(self._readers) == ["logits"]:
            self._read_part("logits", view, start, rows)
            return rows
        for first in range(start, stop, step := max(PIECE_BYTES // self.row_bytes, 1)):
            some = rows[first - start : first - start + step]
            parts = {}
            for spec in self._specs:
                parts[spec.name] = np.empty((len(some), *spec.width), spec.dtype)
                self._read_part(spec.name, view, first, parts[spec.name])
            some[...] = self.encoding.decode(parts, self.layout.classes)
        return rows

    def _read_part(self, name: str, view: int, start: int, part: NDArray[Any]) -> None:
        """Elements of one array from sample `start` on into `part`, all of them data: finite, or ids that exist."""
        try:
            taken = self._readers[name].read(view, start, start + len(part), part)
        except DamageError as error:
            file = self._readers[name].name(view, error.block)
            raise CorruptStoreError(
                f"the store at {self.location} is damaged in {file}: {error}. The data is recorded complete but cannot "
                f"be read back, so nothing that uses this view can be trusted. Restore the file from a copy, or "
                f"extract the store anew with `kcd-pipeline extract-teacher CONFIG --overwrite`.",
                what=f"{file}: {error}",
            ) from error
        with self._counting:
            self.bytes_read += taken

    def knowledge_bytes(self) -> int:
        """Size of the shards that hold knowledge, in bytes."""
        if self.location.on_web:
            return sum(self.location.sizes_of(self._shards()))
        return sum(sum(self.location.sizes(f"{name}/c")) for name in self._parts)

    def _shards(self) -> list[str]:
        """Names of all shards that are recorded complete."""
        places = [(int(view), int(block)) for view, block in np.argwhere(self.complete())]
        return [reader.name(*place) for reader in self._readers.values() for place in places]

    def _sizes(self) -> list[int]:
        """Bytes of each of its files or objects."""
        if not self.location.on_web:
            return self.location.sizes()
        arrays = [*self._parts, "complete", "seconds"]
        rows = [f"{name}/c/{view}/0" for name in arrays[-2:] for view in range(self.layout.views)]
        return self.location.sizes_of(["zarr.json", *(f"{name}/zarr.json" for name in arrays), *rows, *self._shards()])

    def inconsistencies(self) -> list[str]:
        """Where arrays are not what the attributes say of them, a sentence each."""
        arrays = {array.name.lstrip("/"): array for array in (*self._parts.values(), *self._ledger_arrays)}
        return creation.inconsistencies(arrays, self.layout, self.encoding)

    def bytes_on_disk(self) -> int:
        """Size of all its files or objects, in bytes."""
        return sum(self._sizes())

    def files(self) -> int:
        """How many files or objects it is."""
        return len(self._sizes())
