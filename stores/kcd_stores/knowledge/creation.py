"""Make the group and the arrays of a knowledge store; compare arrays that exist with what would be made."""

from collections.abc import Mapping
from typing import Any

import zarr
from zarr.codecs import Crc32cCodec
from zarr.storage import MemoryStore

from kcd_stores.encodings import ArraySpec, Encoding, describe_features
from kcd_stores.errors import Remedy, StoreUsageError
from kcd_stores.knowledge.group import FORMAT, KIND, require_array
from kcd_stores.knowledge.layout import Layout
from kcd_stores.storage import Storage

ARRAY_FACTS = ("shape", "shards", "chunks", "dtype")  # of an array, which the layout decides


def create_group(
    storage: Storage,
    *,
    layout: Layout,
    encoding: Encoding,
    made_from: Mapping[str, Any],
    fidelity: Mapping[str, Any] | None,
    overwrite: bool,
) -> zarr.Group:
    """Make the group of an empty store, its attributes and its arrays; with `overwrite`, remove an older store first.

    Raises
    ------
    StoreUsageError
        If the place is taken: by a store without `overwrite`, or by anything that is not a knowledge store.
    """
    if not storage.is_vacant():
        require_knowledge_store(storage)
        if not overwrite:
            raise StoreUsageError(f"there is a store at {storage} already; open it, or overwrite it on purpose")
    attributes = {
        "format": FORMAT,
        "kind": KIND,
        "encoding": {"name": encoding.name, **encoding.settings()},
        "features": describe_features(encoding),
        "layout": vars(layout),
        "made_from": dict(made_from),
        "fidelity": None if fidelity is None else dict(fidelity),
    }
    group = zarr.create_group(storage.zarr_store(), zarr_format=3, overwrite=overwrite, attributes=attributes)
    create_missing_arrays(group, layout, encoding)
    return group


def require_knowledge_store(storage: Storage) -> None:
    """Raise StoreUsageError if what is there is not a knowledge store: a typo in a path must not cost anybody data."""
    if storage.is_file():
        raise StoreUsageError(
            f"{storage} is a file, not a knowledge store: it is left alone.",
            remedy=Remedy.GIVE_FOLDER,
        )
    try:
        kind = zarr.open_group(storage.zarr_store(read_only=True), mode="r").attrs.get("kind")
    except (FileNotFoundError, ValueError, NotADirectoryError):
        kind = None
    if kind != KIND:
        raise StoreUsageError(
            f"{storage} exists and is not a knowledge store, so it is left alone.",
            remedy=Remedy.GIVE_NEW_FOLDER,
        )


def create_missing_arrays(group: zarr.Group, layout: Layout, encoding: Encoding) -> None:
    """Make the arrays that are not there yet; the same call always makes the same metadata."""
    for spec in encoding.arrays(layout.classes):
        if spec.name not in group:
            _create_array(group, layout, spec)
    ledger: dict[str, Any] = {
        "shape": (layout.views, layout.blocks),
        "chunks": (1, layout.blocks),
        "compressors": [Crc32cCodec()],
        "dimension_names": ("view", "block"),
    }
    if "complete" not in group:
        group.create_array("complete", dtype="uint8", fill_value=0, **ledger)
    if "seconds" not in group:
        group.create_array("seconds", dtype="float64", fill_value=float("nan"), **ledger)


def _create_array(group: zarr.Group, layout: Layout, spec: ArraySpec) -> None:
    column = spec.name if spec.name == "features" else "class" if spec.row_shape == (layout.classes,) else "slot"
    behind = (column,) if spec.row_shape else ()
    group.create_array(
        spec.name,
        shape=(layout.views, layout.samples, *spec.row_shape),
        dtype=spec.dtype,
        shards=(1, layout.block_rows, *spec.row_shape),
        chunks=(1, layout.chunk_rows, *spec.row_shape),
        filters=list(spec.filters),
        compressors=spec.compressors(layout.chunk_rows),
        fill_value=spec.fill_value,
        dimension_names=("view", "sample", *behind),
    )


def array_inconsistencies(found: Mapping[str, "zarr.Array[Any]"], layout: Layout, encoding: Encoding) -> list[str]:
    """Return a sentence for each way in which the arrays `found`, by name, are not those of `layout` and `encoding`."""
    group = zarr.create_group(MemoryStore(), zarr_format=3)
    create_missing_arrays(group, layout, encoding)
    sentences = []
    for name, array in found.items():
        expected = require_array(group, name, place="memory")
        wrong = [fact for fact in ARRAY_FACTS if getattr(array, fact) != getattr(expected, fact)]
        sentences += [f"{name} has {fact} {getattr(array, fact)}, expected {getattr(expected, fact)}" for fact in wrong]
        if not wrong and array.metadata.to_dict()["codecs"] != expected.metadata.to_dict()["codecs"]:
            sentences.append(f"{name} has other codecs than the encoding {encoding.name}")
    return sentences
