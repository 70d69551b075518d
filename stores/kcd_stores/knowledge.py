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
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from kcd_stores import transfer
from kcd_stores.description import differences, listed
from kcd_stores.encodings import ArraySpec, Encoding, make_encoding
from kcd_stores.errors import (
    CorruptStoreError,
    IncompleteStoreError,
    StoreError,
    StoreMismatchError,
    StoreUsageError,
)
from kcd_stores.layout import Layout
from kcd_stores.ledger import Ledger
from kcd_stores.location import Location, Where
from kcd_stores.sizes import DEFAULT_MEMORY

FORMAT = 1
KIND = "knowledge"


class KnowledgeStore:
    """One knowledge store, opened; made by `create` or `open`, never by hand.

    Attributes
    ----------
    location
        Where it lies: a folder, or a prefix in an object store.
    layout
        Its sizes and how it is cut.
    encoding
        How its logits are laid down.
    made_from
        What it was made from: data set, augmentation, teacher, software.
    bytes_read
        Bytes of knowledge read through this object so far.
    """

    def __init__(self, location: Location, group: zarr.Group) -> None:
        attributes: dict[str, Any] = dict(group.attrs)
        self.location = location
        self.layout = Layout(**attributes["layout"])
        self.encoding: Encoding = make_encoding(**attributes["encoding"])
        self.made_from: dict[str, Any] = attributes["made_from"]
        self._group = group
        names = [spec.name for spec in self.encoding.arrays(self.layout.classes)]
        self._parts = {name: _array(location, group, name) for name in names}
        self._ledger_arrays = (_array(location, group, "complete"), _array(location, group, "seconds"))
        self._ledger = Ledger(location, *self._ledger_arrays, list(self._parts.values()))
        self.bytes_read = 0

    @classmethod
    def create(
        cls,
        where: Where,
        *,
        layout: Layout,
        encoding: Encoding,
        made_from: Mapping[str, Any],
        overwrite: bool = False,
    ) -> "KnowledgeStore":
        """Make an empty store at `where`; `overwrite` removes the store that lies there.

        Raises
        ------
        StoreUsageError
            If something lies at `where` and is not to be, or cannot be, overwritten.
        """
        location = Location.of(where)
        if not location.is_vacant():
            _refuse_foreign(location)
            if not overwrite:
                raise StoreUsageError(f"a store lies at {location} already; open it, or overwrite it on purpose")
        attributes = {
            "format": FORMAT,
            "kind": KIND,
            "encoding": {"name": encoding.name, **encoding.settings()},
            "layout": vars(layout),
            "made_from": dict(made_from),
        }
        group = zarr.create_group(location.zarr_store(), zarr_format=3, overwrite=overwrite, attributes=attributes)
        _require_arrays(group, layout, encoding)
        return cls(location, group)

    @classmethod
    def open(cls, where: Where, *, writable: bool = False) -> "KnowledgeStore":
        """Open the store at `where`, for reading unless `writable`.

        A writable store is first tidied of what a killed writer left: metadata not yet written is, and
        temporary files are removed.

        Raises
        ------
        StoreUsageError
            If nothing lies there, or what lies there is not a knowledge store of this format.
        """
        location = Location.of(where)
        if location.is_local:  # elsewhere it would be requests that tell nothing new when all is well
            _require_something(location)
        try:
            group = zarr.open_group(
                location.zarr_store(read_only=not writable), mode="r+" if writable else "r", zarr_format=3
            )
        except (FileNotFoundError, ValueError) as error:
            _require_something(location)
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
        if writable:
            location.remove_partials()
            _require_arrays(group, Layout(**attributes["layout"]), make_encoding(**attributes["encoding"]))
        return cls(location, group)

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
        """Name and settings of the encoding, as the store's attributes hold them."""
        return {"name": self.encoding.name, **self.encoding.settings()}

    @property
    def encoding_label(self) -> str:
        """The encoding and its settings for people, such as `float16` or `topk(k=8)`."""
        settings = ", ".join(f"{key}={value}" for key, value in self.encoding.settings().items())
        return f"{self.encoding.name}({settings})" if settings else self.encoding.name

    # --- writing -----------------------------------------------------------------------------------------

    def write_block(self, view: int, block: int, logits: NDArray[np.float32], *, seconds: float) -> None:
        """Write `logits[n, C]` float32, the rows of one block, then record the block complete.

        Raises
        ------
        ValueError
            If the shape is not the block's, or a logit is not finite or does not fit the encoding.
        """
        rows = self.layout.rows(block)
        expected = (len(rows), self.layout.classes)
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
        self._ledger.record(view, block, seconds=seconds)

    def settle(self) -> None:
        """End writing: see that what was written here is still recorded, where others may have been writing too."""
        self._ledger.settle()

    def _require_unreplaced(self) -> None:
        """See that a remote store, which no lock protects, is still the one that was opened."""
        if self.location.is_local:
            return
        (found,) = self.location.fetch(["zarr.json"])
        now: dict[str, Any] = {} if found is None else json.loads(found).get("attributes", {})
        if _unchanging(now) != _unchanging(dict(self._group.attrs)):
            raise StoreError(
                f"the store at {self.location} was replaced or removed by another process while this one was writing "
                f"to it, so this one stops. Let one process at a time write a remote store; when the other is done, "
                f"run the same command again: it says whether the store is the one that it asks for."
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
    def row_bytes(self) -> int:
        """Bytes of one decoded row in memory."""
        return self.layout.classes * self.dtype.itemsize

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
            Decide the order, and nothing else does but the mode of streaming (see kcd_stores.streaming).
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
        from kcd_stores.own_loop import batches  # it needs this module

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

    def read_rows(self, view: int, start: int, stop: int) -> NDArray[Any]:
        """Rows `[start, stop)` of one view, `[stop - start, C]`; raises as `read_view` does."""
        if not (0 <= view < self.layout.views and 0 <= start < stop <= self.layout.samples):
            raise IndexError(f"rows {start}:{stop} of view {view} in a store of {self.layout}")
        blocks = range(start // self.layout.block_rows, (stop - 1) // self.layout.block_rows + 1)
        complete = self._ledger.complete_in(view, blocks)
        if not complete.all():
            raise IncompleteStoreError(
                f"view {view}, block {blocks[int(np.argmin(complete))]} of the store at {self.location} was never "
                f"recorded complete. Run the same `kcd-pipeline extract-teacher` again to finish it."
            )
        parts = {name: self._read_part(name, view, start, stop) for name in self._parts}
        return self.encoding.decode(parts, self.layout.classes)

    def _read_part(self, name: str, view: int, start: int, stop: int) -> NDArray[Any]:
        """Elements of one array, all of them data: finite, or class ids that exist."""
        blocks = range(start // self.layout.block_rows, (stop - 1) // self.layout.block_rows + 1)
        try:
            if self.location.is_local:
                part = np.asarray(self._parts[name][view, start:stop])
            else:
                part = transfer.read(self.location, self._parts[name], view, start, stop)
        except (ValueError, RuntimeError, OSError) as error:
            raise self._corrupt(name, view, blocks, str(error)) from error
        if not _all_finite(part) if part.dtype.kind == "f" else part.max() >= self.layout.classes:
            good = np.isfinite(part) if part.dtype.kind == "f" else part < self.layout.classes
            whole = good.reshape(len(part), -1).all(axis=1)
            bad = start + int(np.argmin(whole))
            where = range(bad // self.layout.block_rows, bad // self.layout.block_rows + 1)
            raise self._corrupt(name, view, where, f"the row of sample {bad} is missing or not what can be data")
        return part

    def _corrupt(self, name: str, view: int, blocks: range, reason: str) -> CorruptStoreError:
        files = transfer.object_name(self._parts[name], view, blocks.start)
        if len(blocks) > 1:
            files += f" to {transfer.object_name(self._parts[name], view, blocks.stop - 1)}"
        return CorruptStoreError(
            f"the store at {self.location} is damaged in {files}: {reason}. The data is recorded complete but cannot "
            f"be read back, so nothing that uses this view can be trusted. Restore the file from a copy, or extract "
            f"the store anew with `kcd-pipeline extract-teacher CONFIG --overwrite`.",
            what=f"{files}: {reason}",
        )

    def knowledge_bytes(self) -> int:
        """Size of the shards that hold knowledge, in bytes."""
        return sum(sum(self.location.sizes(f"{name}/c")) for name in self._parts)

    def inconsistencies(self) -> list[str]:
        """Where arrays are not what the attributes say of them, a sentence each."""
        layout, found = self.layout, []
        for spec in self.encoding.arrays(layout.classes):
            array = self._parts[spec.name]
            expected = {
                "shape": (layout.views, layout.samples, *spec.width),
                "shards": (1, layout.block_rows, *spec.width),
                "chunks": (1, layout.chunk_rows, *spec.width),
                "dtype": spec.dtype,
            }
            for name, value in expected.items():
                if getattr(array, name) != value:
                    found.append(f"{spec.name} has {name} {getattr(array, name)}, expected {value}")
        for array in self._ledger_arrays:
            if array.shape != (layout.views, layout.blocks):
                found.append(f"{array.name} has shape {array.shape}, expected {(layout.views, layout.blocks)}")
        return found

    def bytes_on_disk(self) -> int:
        """Size of all its files or objects, in bytes."""
        return sum(self.location.sizes())

    def files(self) -> int:
        """How many files or objects it is."""
        return len(self.location.sizes())


def _unchanging(attributes: Mapping[str, Any]) -> str:
    """What of a store's attributes growing leaves as it is, as JSON."""
    layout = {key: value for key, value in attributes.get("layout", {}).items() if key != "views"}
    return json.dumps({**attributes, "layout": layout}, sort_keys=True)


def _array(location: Location, group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise IncompleteStoreError(
            f"the store at {location} has no array '{name}': it was interrupted while it was being made. "
            f"Run the same `kcd-pipeline extract-teacher` again to finish it."
        )
    return array


def _all_finite(part: NDArray[Any]) -> bool:
    """Whether all is finite; float16 by its exponent bits, for numpy converts each before it looks."""
    if part.dtype == np.float16:
        return bool((part.view(np.uint16) & 0x7C00).max() < 0x7C00)
    return bool(np.isfinite(part).all())


def _require_arrays(group: zarr.Group, layout: Layout, encoding: Encoding) -> None:
    """Make the arrays that are not there yet; the same call always makes the same metadata."""
    for spec in encoding.arrays(layout.classes):
        if spec.name not in group:
            _create_array(group, layout, spec)
    ledger: dict[str, Any] = {
        "shape": (layout.views, layout.blocks),
        "chunks": (1, layout.blocks),
        "compressors": [Crc32cCodec()],
    }
    if "complete" not in group:
        group.create_array("complete", dtype="uint8", fill_value=0, dimension_names=("view", "block"), **ledger)
    if "seconds" not in group:
        group.create_array(
            "seconds", dtype="float64", fill_value=float("nan"), dimension_names=("view", "block"), **ledger
        )


def _create_array(group: zarr.Group, layout: Layout, spec: ArraySpec) -> None:
    behind = {0: (), 1: ("class" if spec.width == (layout.classes,) else "slot",)}[len(spec.width)]
    group.create_array(
        spec.name,
        shape=(layout.views, layout.samples, *spec.width),
        dtype=spec.dtype,
        shards=(1, layout.block_rows, *spec.width),
        chunks=(1, layout.chunk_rows, *spec.width),
        filters=list(spec.filters),
        compressors=spec.compressors(),
        fill_value=spec.fill,
        dimension_names=("view", "sample", *behind),
    )


def is_vacant(where: Where) -> bool:
    """Nothing lies at `where`: no folder, or one that holds at most what a killed writer never renamed."""
    return Location.of(where).is_vacant()


def _require_something(location: Location) -> None:
    if location.is_file():
        raise StoreUsageError(f"{location} is a file, not a knowledge store. Set store.path to a folder.")
    if location.is_vacant():
        raise StoreUsageError(
            f"there is no knowledge store at {location}. Make it with `kcd-pipeline extract-teacher CONFIG`, "
            f"or set store.path to where it is."
        )


def _refuse_foreign(location: Location) -> None:
    """Never replace what is not a knowledge store: a typo in a path must not cost anybody their data."""
    if location.is_file():
        raise StoreUsageError(
            f"{location} is a file, not a knowledge store: it is left alone. Set store.path to a folder."
        )
    try:
        kind = zarr.open_group(location.zarr_store(read_only=True), mode="r").attrs.get("kind")
    except (FileNotFoundError, ValueError, NotADirectoryError):
        kind = None
    if kind != KIND:
        raise StoreUsageError(
            f"{location} exists and is not a knowledge store, so it is left alone. Set store.path to a new folder."
        )
