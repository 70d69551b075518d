"""The zarr group of a knowledge store: opened, with its attributes and the metadata of its arrays validated whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import zarr

from kcd_stores.encodings import Encoding
from kcd_stores.errors import (
    CorruptStoreError,
    IncompleteStoreError,
    Remedy,
    StoreReplacedError,
    StoreUsageError,
)
from kcd_stores.knowledge.arrays import METADATA, expected_arrays, opened_array, parse_document, require_metadata
from kcd_stores.knowledge.attributes import FORMATS, KIND, Description, parse_attributes
from kcd_stores.knowledge.records import RecordFormat
from kcd_stores.storage import Storage, Where, object_name, open_storage

LEDGER = ("complete", "seconds")  # arrays of every format
ATTEMPTS = 3  # to open a store that is replaced meanwhile


@dataclass(frozen=True, kw_only=True, eq=False)
class KnowledgeGroup:
    """One opened group and what its attributes say.

    Attributes
    ----------
    description
        Its attributes.
    encoding
        The encoding of the rows that are read: with the features only if they were asked for.
    whole_encoding
        The encoding with all features that the store has.
    knowledge
        The arrays of the encoding, by name, with their elements as they are stored.
    ledger
        The arrays of the ledger (kcd_stores.knowledge.ledger), by name.
    """

    storage: Storage
    description: Description
    encoding: Encoding
    whole_encoding: Encoding
    knowledge: Mapping[str, "zarr.Array[Any]"]
    ledger: Mapping[str, "zarr.Array[Any]"]

    @property
    def arrays(self) -> dict[str, "zarr.Array[Any]"]:
        """All arrays by name: those of the encoding, then those of the ledger."""
        return {**self.knowledge, **self.ledger}

    @property
    def all_names(self) -> list[str]:
        """The names of the arrays of the whole encoding, in the order of their checksums in a record."""
        return [spec.name for spec in self.whole_encoding.arrays(self.description.layout.classes)]

    @property
    def records(self) -> RecordFormat:
        """The shape of the records in the ledger."""
        description = self.description
        return RecordFormat(layout=description.layout, arrays=len(self.all_names), generation=description.generation)

    def shard_names(self, view: int, block: int) -> list[str]:
        """Return the names of the files that hold a block, one for each array that was opened."""
        return [object_name(name, view, block, ndim=array.ndim) for name, array in self.knowledge.items()]


def open_group(storage: Storage, *, writable: bool, features: bool) -> KnowledgeGroup:
    """Open the knowledge store at `storage`; with `features`, the array of features too if there is one.

    Raises
    ------
    StoreUsageError
        If nothing is there, or something that is not a knowledge store of a known format.
    IncompleteStoreError
        If an array is missing: the process that made the store was killed before it had made all of them.
    CorruptStoreError
        If the attributes or the metadata of an array are not what the store was made with.
    """
    (document,) = storage.fetch([METADATA])
    for _ in range(ATTEMPTS):
        try:
            return _open_group(storage, document, writable=writable, features=features)
        except (CorruptStoreError, IncompleteStoreError) as error:
            (now,) = storage.fetch([METADATA])
            if now == document:
                raise
            document, last = now, error  # it was replaced, or grew, between two of its files
    raise last


def _open_group(storage: Storage, document: bytes | None, *, writable: bool, features: bool) -> KnowledgeGroup:
    description = _describe(storage, document)
    layout, whole = description.layout, description.encoding(features=True)
    encoding = description.encoding(features=features)
    expected = expected_arrays(layout, whole, store_format=description.format)
    found = storage.fetch([f"{name}/{METADATA}" for name in expected])
    for (name, array), data in zip(expected.items(), found, strict=True):
        if data is None:
            raise IncompleteStoreError(
                f"the store at {storage} has no array '{name}': it was interrupted while it was being made.",
                remedy=Remedy.FINISH_STORE,
            )
        try:
            require_metadata(data, array.document)
        except ValueError as error:
            raise damaged(storage, f"{name}/{METADATA}", error) from error
    zarr_store = storage.zarr_store(read_only=not writable, existing=True)
    arrays = {name: opened_array(zarr_store, name, array.metadata) for name, array in expected.items()}
    names = [spec.name for spec in whole.arrays(layout.classes)]
    wanted = [spec.name for spec in encoding.arrays(layout.classes)]
    return KnowledgeGroup(
        storage=storage,
        description=description,
        encoding=encoding,
        whole_encoding=whole,
        knowledge={name: arrays[name] for name in wanted},
        ledger={name: array for name, array in arrays.items() if name not in names},
    )


def is_knowledge_store(where: Where) -> bool:
    """Return True if a zarr group of kind "knowledge" is at `where`, of whatever format, and sound or not.

    Raises
    ------
    CorruptStoreError
        If there is a file `zarr.json` that is no metadata of a zarr group.
    """
    return (read_attributes(open_storage(where)) or {}).get("kind") == KIND


def read_attributes(storage: Storage) -> dict[str, Any] | None:
    """Return the attributes of the zarr group at `storage`, whatever they are; None if its file is missing.

    Raises
    ------
    CorruptStoreError
        If the file is no metadata of a zarr group.
    """
    (document,) = storage.fetch([METADATA])
    return None if document is None else _attributes(storage, document)


def has_ledger(storage: Storage) -> bool:
    """Return True if there are arrays of a ledger: whatever became of its attributes, this is a knowledge store."""
    return all(storage.holds(f"{name}/{METADATA}") for name in LEDGER)


def _attributes(storage: Storage, document: bytes) -> dict[str, Any]:
    try:
        metadata = parse_document(document)
        if metadata.get("zarr_format") != 3 or metadata.get("node_type") != "group":
            raise ValueError("it is not the metadata of a zarr group of format 3")
        attributes = metadata.get("attributes", {})
        if not isinstance(attributes, dict):
            raise ValueError("its attributes are no JSON object")
    except ValueError as error:
        raise damaged(storage, METADATA, error) from error
    return attributes


def read_description(storage: Storage) -> Description:
    """Return the valid attributes of the knowledge store at `storage`; see `open_group` for what is raised."""
    (document,) = storage.fetch([METADATA])
    return _describe(storage, document)


def _describe(storage: Storage, document: bytes | None) -> Description:
    """Return the valid attributes in the file `zarr.json` of a knowledge store; see `open_group` for what is raised."""
    try:
        if document is None:
            require_something(storage)
            raise damaged(storage, METADATA, "it is missing")
        attributes = _attributes(storage, document)
    except CorruptStoreError as error:
        if has_ledger(storage):
            raise
        raise StoreUsageError(
            f"{storage} is not a knowledge store: no metadata of a zarr group is there ({error.damage}).",
            remedy=Remedy.GIVE_STORE_OR_NEW_FOLDER,
        ) from error
    kind, number = attributes.get("kind"), attributes.get("format")
    if kind != KIND or isinstance(number, bool) or number not in FORMATS:
        raise StoreUsageError(
            f"{storage} is not a knowledge store that can be read here: found kind {kind!r} of format {number!r}, "
            f"expected kind {KIND!r} of format {' or '.join(map(str, FORMATS))}.",
            remedy=Remedy.REPLACE_STORE,
        )
    try:
        return parse_attributes(attributes)
    except ValueError as error:
        raise damaged(storage, METADATA, f"attributes.{error}") from error


def damaged(storage: Storage, name: str, reason: object) -> CorruptStoreError:
    """Return the error of a file of a store that is not what was written."""
    return CorruptStoreError(
        f"the store at {storage} is damaged in {name}: {reason}. Nothing that it holds can be trusted.",
        damage=f"{name}: {reason}",
        remedy=Remedy.RESTORE_STORE,
    )


def require_unreplaced(storage: Storage, description: Description, *, doing: str) -> None:
    """Raise StoreReplacedError if the store at `storage` is no longer the one that was opened.

    Parameters
    ----------
    doing
        The end of a sentence about this process: "while this process was writing to it".
    """
    try:
        now = read_attributes(storage)
    except CorruptStoreError:
        return  # of the same store, as far as anybody can tell: the damage is what has to be said
    if now is not None and _lasting(now) == _lasting(description.attributes):
        return
    what = "removed" if now is None else "replaced by another store"
    raise StoreReplacedError(
        f"the store at {storage} was {what} {doing}, so the process stops.", remedy=Remedy.LOOK_AGAIN
    )


def _lasting(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what stays the same while a store exists: the generation, or what else there is in a store without."""
    return tuple(attributes.get(name) for name in ("kind", "format", "generation", "encoding", "made_from"))


def require_something(storage: Storage) -> None:
    """Raise StoreUsageError if `storage` is a single file or if nothing is there."""
    if storage.is_file():
        raise StoreUsageError(f"{storage} is a file, not a knowledge store.", remedy=Remedy.GIVE_FOLDER)
    if storage.is_vacant():
        raise StoreUsageError(f"there is no knowledge store at {storage}.", remedy=Remedy.MAKE_STORE)
