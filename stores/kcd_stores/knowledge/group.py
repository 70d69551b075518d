"""The zarr group of a knowledge store: opened, with its attributes parsed and its arrays found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import zarr

from kcd_stores.encodings import Encoding, make_encoding, with_features
from kcd_stores.errors import IncompleteStoreError, Remedy, StoreUsageError
from kcd_stores.knowledge.layout import Layout
from kcd_stores.storage import Storage

FORMAT = 1
KIND = "knowledge"


@dataclass(frozen=True, kw_only=True, eq=False)
class KnowledgeGroup:
    """One opened group and what its attributes say.

    Attributes
    ----------
    encoding
        The encoding of the rows that are read: with the features only if they were asked for.
    features
        The number of features and their encoding, as the attributes hold them; None for a store without any.
    knowledge
        The arrays of the encoding, by name.
    complete, seconds
        The two arrays of the ledger (kcd_stores.knowledge.ledger).
    """

    storage: Storage
    group: zarr.Group
    layout: Layout
    encoding: Encoding
    features: dict[str, Any] | None
    made_from: dict[str, Any]
    fidelity: dict[str, Any] | None
    knowledge: Mapping[str, "zarr.Array[Any]"]
    complete: "zarr.Array[Any]"
    seconds: "zarr.Array[Any]"

    @classmethod
    def read(cls, storage: Storage, group: zarr.Group, *, features: bool) -> "KnowledgeGroup":
        """Parse the attributes of `group` and find its arrays, those of the features only with `features`.

        Raises
        ------
        IncompleteStoreError
            If an array is missing.
        """
        attributes: dict[str, Any] = dict(group.attrs)
        layout = parse_layout(attributes)
        encoding = parse_encoding(attributes, features=features)
        return cls(
            storage=storage,
            group=group,
            layout=layout,
            encoding=encoding,
            features=attributes.get("features"),
            made_from=attributes["made_from"],
            fidelity=attributes.get("fidelity"),
            knowledge={
                spec.name: require_array(group, spec.name, place=str(storage))
                for spec in encoding.arrays(layout.classes)
            },
            complete=require_array(group, "complete", place=str(storage)),
            seconds=require_array(group, "seconds", place=str(storage)),
        )

    @property
    def arrays(self) -> dict[str, "zarr.Array[Any]"]:
        """All arrays by name: those of the encoding, then `complete` and `seconds`."""
        return {**self.knowledge, "complete": self.complete, "seconds": self.seconds}


def parse_layout(attributes: Mapping[str, Any]) -> Layout:
    """Return the layout that a store's attributes describe."""
    return Layout(**attributes["layout"])


def parse_encoding(attributes: Mapping[str, Any], *, features: bool) -> Encoding:
    """Return the encoding that a store's attributes describe; with `features`, that of the features too."""
    encoding = make_encoding(**attributes["encoding"])
    return with_features(encoding, attributes.get("features")) if features else encoding


def require_array(group: zarr.Group, name: str, *, place: str) -> "zarr.Array[Any]":
    """Return the array called `name`; raise IncompleteStoreError if a killed writer never came to make it."""
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise IncompleteStoreError(
            f"the store at {place} has no array '{name}': it was interrupted while it was being made.",
            remedy=Remedy.FINISH_STORE,
        )
    return array


def open_group(storage: Storage, *, writable: bool) -> zarr.Group:
    """Open the group of the knowledge store at `storage`.

    Raises
    ------
    StoreUsageError
        If nothing is there, or something that is not a knowledge store of this format.
    """
    try:
        group = zarr.open_group(
            storage.zarr_store(read_only=not writable, existing=True), mode="r+" if writable else "r", zarr_format=3
        )
    except (FileNotFoundError, ValueError) as error:
        require_something(storage)
        raise StoreUsageError(
            f"{storage} is not a knowledge store: no readable zarr group is there ({error}).",
            remedy=Remedy.GIVE_STORE_OR_NEW_FOLDER,
        ) from error
    attributes: dict[str, Any] = dict(group.attrs)
    if attributes.get("kind") != KIND or attributes.get("format") != FORMAT:
        raise StoreUsageError(
            f"{storage} is not a knowledge store that can be read here: found kind "
            f"{attributes.get('kind')!r} of format {attributes.get('format')!r}, expected kind "
            f"{KIND!r} of format {FORMAT}.",
            remedy=Remedy.REPLACE_STORE,
        )
    return group


def require_something(storage: Storage) -> None:
    """Raise StoreUsageError if `storage` is a single file or if nothing is there."""
    if storage.is_file():
        raise StoreUsageError(f"{storage} is a file, not a knowledge store.", remedy=Remedy.GIVE_FOLDER)
    if storage.is_vacant():
        raise StoreUsageError(f"there is no knowledge store at {storage}.", remedy=Remedy.MAKE_STORE)
