"""What a knowledge store is made of on disk: its arrays, made where they are missing, and what may lie at its place."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
from zarr.codecs import Crc32cCodec
from zarr.storage import MemoryStore

from kcd_stores.encodings import ArraySpec, Encoding
from kcd_stores.errors import IncompleteStoreError, StoreUsageError
from kcd_stores.knowledge.layout import Layout
from kcd_stores.storage.location import Location, Where

KIND = "knowledge"
FACTS = ("shape", "shards", "chunks", "dtype")  # of an array, that the layout decides


def unchanging(attributes: Mapping[str, Any]) -> str:
    """What of a store's attributes growing leaves as it is, as JSON."""
    layout = {key: value for key, value in attributes.get("layout", {}).items() if key != "views"}
    return json.dumps({**attributes, "layout": layout}, sort_keys=True)


def existing_array(location: Location, group: zarr.Group, name: str) -> zarr.Array[Any]:
    """The array called `name`; IncompleteStoreError where a killed writer never came to make it."""
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise IncompleteStoreError(
            f"the store at {location} has no array '{name}': it was interrupted while it was being made. "
            f"Run the same `kcd-pipeline extract-teacher` again to finish it."
        )
    return array


def require_arrays(group: zarr.Group, layout: Layout, encoding: Encoding) -> None:
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
    column = spec.name if spec.name == "features" else "class" if spec.width == (layout.classes,) else "slot"
    behind = (column,) if spec.width else ()
    group.create_array(
        spec.name,
        shape=(layout.views, layout.samples, *spec.width),
        dtype=spec.dtype,
        shards=(1, layout.block_rows, *spec.width),
        chunks=(1, layout.chunk_rows, *spec.width),
        filters=list(spec.filters),
        compressors=spec.compressors(layout.chunk_rows),
        fill_value=spec.fill,
        dimension_names=("view", "sample", *behind),
    )


def inconsistencies(found: Mapping[str, "zarr.Array[Any]"], layout: Layout, encoding: Encoding) -> list[str]:
    """Where the arrays `found`, by name, are not what a store of that layout and encoding has, a sentence each."""
    group = zarr.create_group(MemoryStore(), zarr_format=3)
    require_arrays(group, layout, encoding)
    sentences = []
    for name, array in found.items():
        expected = existing_array(Location(folder=Path()), group, name)
        wrong = [fact for fact in FACTS if getattr(array, fact) != getattr(expected, fact)]
        sentences += [f"{name} has {fact} {getattr(array, fact)}, expected {getattr(expected, fact)}" for fact in wrong]
        if not wrong and array.metadata.to_dict()["codecs"] != expected.metadata.to_dict()["codecs"]:
            sentences.append(f"{name} has other codecs than the encoding {encoding.name}")
    return sentences


def is_vacant(where: Where) -> bool:
    """Nothing lies at `where`: no folder, or one that holds at most what a killed writer never renamed."""
    return Location.of(where).is_vacant()


def require_something(location: Location) -> None:
    """Refuse, in words that fit what is there, a place that holds no store to open."""
    if location.is_file():
        raise StoreUsageError(f"{location} is a file, not a knowledge store. Set store.path to a folder.")
    if location.is_vacant():
        raise StoreUsageError(
            f"there is no knowledge store at {location}. Make it with `kcd-pipeline extract-teacher CONFIG`, "
            f"or set store.path to where it is."
        )


def refuse_foreign(location: Location) -> None:
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
