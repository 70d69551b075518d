"""The zarr arrays of a store: the metadata that its layout and encoding ask for, compared with what is found.

What is found is never used: an array that is opened has the metadata that it must have, so that no number in a file
decides how much memory is taken, or how bytes are decoded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import MemoryStore, StorePath

from kcd_stores.encodings import ArraySpec, Encoding
from kcd_stores.knowledge.layout import Layout

METADATA = "zarr.json"
CHECKSUMS = 2  # the first format with an array of checksums
PLAIN_ARRAYS = 3  # the first format whose metadata names no codecs but zarr's own
FREE = ("attributes", "consolidated_metadata")  # parts of a metadata document that are anybody's
LONGEST_FACT = 80  # characters of a fact in a message


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpectedArray:
    """The metadata that an array is opened with, and the file of metadata that a store of its format has for it.

    They say the same, but for arrays whose encoding was a codec of numcodecs in formats 1 and 2: these are opened as
    the bytes that they are stored as, which are the same in every format.
    """

    metadata: ArrayV3Metadata
    document: bytes


def expected_arrays(layout: Layout, encoding: Encoding, *, store_format: int) -> dict[str, ExpectedArray]:
    """Return each array of a store by its name: those of the encoding, then those of the ledger."""
    specs = encoding.arrays(layout.classes)
    arrays = {}
    for spec in specs:
        metadata = _metadata_of(layout, spec)
        earlier = store_format < PLAIN_ARRAYS and spec.codec_before_format_3 is not None
        file = _document_before_format_3(layout, spec) if earlier else document(metadata)
        arrays[spec.name] = ExpectedArray(metadata=metadata, document=file)
    for name, metadata in _ledger_metadata(layout, len(specs), checksums=store_format >= CHECKSUMS).items():
        arrays[name] = ExpectedArray(metadata=metadata, document=document(metadata))
    return arrays


def _ledger_metadata(layout: Layout, knowledge_arrays: int, *, checksums: bool) -> dict[str, ArrayV3Metadata]:
    """Return the metadata of the arrays of the ledger, by name."""
    group = zarr.create_group(MemoryStore(), zarr_format=3)
    arrays = {}
    ledger: dict[str, Any] = {"compressors": [Crc32cCodec()], "dimension_names": ("view", "block")}
    ledger |= {"shape": (layout.views, layout.blocks), "chunks": (1, layout.count_blocks(knowledge_arrays))}
    arrays["complete"] = group.create_array("complete", dtype="uint8", fill_value=0, **ledger)
    arrays["seconds"] = group.create_array("seconds", dtype="float64", fill_value=float("nan"), **ledger)
    if checksums:
        entries = knowledge_arrays * layout.chunks + 1
        ledger |= {"shape": (layout.views, layout.blocks, entries), "dimension_names": ("view", "block", "entry")}
        ledger["chunks"] = (1, layout.record_blocks(knowledge_arrays), entries)
        arrays["checksums"] = group.create_array("checksums", dtype="uint32", fill_value=0, **ledger)
    return {name: _metadata(array) for name, array in arrays.items()}


def _metadata_of(layout: Layout, spec: ArraySpec) -> ArrayV3Metadata:
    """Return the metadata of an array of knowledge."""
    column = spec.name if spec.name == "features" else "class" if spec.row_shape == (layout.classes,) else "slot"
    behind = (column,) if spec.row_shape else ()
    array = zarr.create_group(MemoryStore(), zarr_format=3).create_array(
        spec.name,
        shape=(layout.views, layout.samples, *spec.row_shape),
        dtype=spec.dtype,
        shards=(1, layout.block_rows, *spec.row_shape),
        chunks=(1, layout.chunk_rows, *spec.row_shape),
        attributes=dict(spec.attributes),
        compressors=spec.compressors(layout.chunk_rows),
        fill_value=spec.fill_value,
        dimension_names=("view", "sample", *behind),
    )
    return _metadata(array)


def _document_before_format_3(layout: Layout, spec: ArraySpec) -> bytes:
    """Return the file of metadata by which a store of format 1 or 2 lets zarr read stored elements as float32."""
    seen = replace(spec, dtype=np.dtype("float32"), fill_value=float("nan"), attributes={})
    facts = parse_document(document(_metadata_of(layout, seen)))
    (sharding,) = facts["codecs"]
    inner = sharding["configuration"]["codecs"]
    compressors = parse_document(document(_metadata_of(layout, spec)))["codecs"][0]["configuration"]["codecs"][1:]
    sharding["configuration"]["codecs"] = [dict(spec.codec_before_format_3 or {}), inner[0], *compressors]
    return json.dumps(facts, indent=2).encode()


def _metadata(array: "zarr.Array[Any]") -> ArrayV3Metadata:
    assert isinstance(array.metadata, ArrayV3Metadata)
    return array.metadata


def document(metadata: ArrayV3Metadata) -> bytes:
    """Return the file that holds the metadata of an array, as zarr writes it."""
    return metadata.to_buffer_dict(default_buffer_prototype())[METADATA].to_bytes()


def opened_array(store: Store, name: str, metadata: ArrayV3Metadata) -> "zarr.Array[Any]":
    """Return the array called `name` in `store`, which has this metadata."""
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=StorePath(store, name)))


def require_metadata(found: bytes, expected: bytes) -> None:
    """Raise ValueError unless `found`, a file of metadata, says of an array what `expected`, another one, says.

    The array may have more views: those of a store that is growing, or whose growing was interrupted. It may have more
    attributes, too.
    """
    have, want = parse_document(found), parse_document(expected)
    wrong = _differing(have, want)
    if wrong and not _means_the_same(have, want):
        key = wrong[0]
        raise ValueError(f"{key}: found {_short(have.get(key))}, expected {_short(want.get(key))}")
    views = have["shape"][0]
    if not isinstance(views, int) or views < want["shape"][0]:
        raise ValueError(f"shape: found {_short(have['shape'])}, expected {want['shape'][0]} views or more")
    attributes = have.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    for name, value in want.get("attributes", {}).items():
        if attributes.get(name) != value:
            raise ValueError(f"attributes.{name}: found {_short(attributes.get(name))}, expected {value}")


def parse_document(found: bytes) -> dict[str, Any]:
    """Return a metadata document; ValueError is raised if it is no JSON, or not that of an object."""
    try:
        parsed = json.loads(found)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:  # of UTF-8, of JSON, or of a number with too many digits
        raise ValueError(f"it is no JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"it is no JSON object, but {_short(parsed)}")
    return parsed


def _differing(have: Mapping[str, Any], want: Mapping[str, Any]) -> list[str]:
    """Return the names of the facts in which two documents differ, apart from the number of views."""
    mine, theirs = _without_views(have), _without_views(want)
    return sorted(key for key in mine | theirs if mine.get(key) != theirs.get(key))


def _without_views(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an array, with its shape from the second axis on."""
    facts = {key: value for key, value in metadata.items() if key not in FREE}
    shape = facts.get("shape")
    return {**facts, "shape": shape[1:]} if isinstance(shape, list) and shape else facts


def _means_the_same(found: dict[str, Any], want: Mapping[str, Any]) -> bool:
    """Return True if zarr reads the same from both: another version of it may word metadata in other ways."""
    try:
        again = parse_document(document(ArrayV3Metadata.from_dict(found)))
    except Exception:  # foreign bytes: zarr raises whatever its codecs and dtypes come upon in them
        return False
    return not _differing(again, want)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_FACT else f"{text[: LONGEST_FACT - 1]}…"
