"""Make the files of an empty knowledge store; replace an older store; repair what a killed maker left; add views."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import zarr
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from kcd_stores.encodings import Encoding
from kcd_stores.errors import CorruptStoreError, Remedy, StoreUsageError
from kcd_stores.knowledge.arrays import METADATA, expected_arrays
from kcd_stores.knowledge.attributes import FORMAT, KIND, OURS, Description, checked, new_attributes
from kcd_stores.knowledge.group import LEDGER, has_ledger, read_attributes
from kcd_stores.knowledge.layout import Layout
from kcd_stores.storage import Storage

# every array that any store can have, which is what is removed with a store that is replaced: of the encodings, of the
# ledger, of condensed sets
ALL_ARRAYS = (
    *("logits", "values", "classes", "rest", "codes", "corrections", "features"),
    *(*LEDGER, "checksums"),
    *("samples", "partner", "epsilon", "weight"),
)


def create_store(
    storage: Storage,
    *,
    layout: Layout,
    encoding: Encoding,
    made_from: Mapping[str, Any],
    fidelity: Mapping[str, Any] | None,
    trial: Mapping[str, Any] | None,
    overwrite: bool,
) -> None:
    """Make the files of an empty store; with `overwrite`, in place of an older store.

    The attributes are written first. From then on the records of an older store do not count any more, since its
    generation was another one, and whoever reads it finds that it was replaced.

    Raises
    ------
    StoreUsageError
        If the place is taken: by a store without `overwrite`, or by anything that is not a knowledge store.
    """
    replaces = not storage.is_vacant()
    if replaces:
        require_knowledge_store(storage)
        if not overwrite:
            raise StoreUsageError(f"there is a store at {storage} already; open it, or overwrite it on purpose")
    attributes = new_attributes(layout=layout, encoding=encoding, made_from=made_from, fidelity=fidelity, trial=trial)
    arrays = expected_arrays(layout, encoding, store_format=FORMAT)
    storage.put(METADATA, group_document(attributes))
    if replaces:
        for name in ALL_ARRAYS:
            storage.remove(name)
    for name, array in arrays.items():
        storage.put(f"{name}/{METADATA}", array.document)


def require_knowledge_store(storage: Storage) -> None:
    """Raise StoreUsageError if what is there is not a knowledge store: a typo in a path must not cost anybody data."""
    if storage.is_file():
        raise StoreUsageError(
            f"{storage} is a file, not a knowledge store: it is left alone.",
            remedy=Remedy.GIVE_FOLDER,
        )
    try:
        attributes = read_attributes(storage)
        ours = has_ledger(storage) if attributes is None else attributes.get("kind") == KIND
    except CorruptStoreError:  # so is a damaged store, which can be replaced
        ours = has_ledger(storage)
    if not ours:
        raise StoreUsageError(
            f"{storage} exists and is not a knowledge store, so it is left alone.",
            remedy=Remedy.GIVE_NEW_FOLDER,
        )


def make_missing_arrays(storage: Storage, description: Description) -> None:
    """Make the arrays whose metadata a killed maker never came to write."""
    encoding = description.encoding(features=True)
    for name, array in expected_arrays(description.layout, encoding, store_format=description.format).items():
        if not storage.holds(f"{name}/{METADATA}"):
            storage.put(f"{name}/{METADATA}", array.document)


def lay_out_views(storage: Storage, description: Description, views: int) -> None:
    """Lay a store out for more views: the shapes of its arrays first, then the layout, which makes them count.

    Attributes that others added to the group stay. Consolidated metadata, which would be of the smaller store,
    does not.
    """
    layout = replace(description.layout, views=views)
    encoding = description.encoding(features=True)
    for name, array in expected_arrays(layout, encoding, store_format=description.format).items():
        storage.put(f"{name}/{METADATA}", array.document)
    foreign = {name: value for name, value in (read_attributes(storage) or {}).items() if name not in OURS}
    grown = checked({**foreign, **description.attributes, "layout": layout.attributes()})
    storage.put(METADATA, group_document(grown))


def group_document(attributes: Mapping[str, Any]) -> bytes:
    """Return the file that holds the metadata of a zarr group with these attributes, as zarr writes it."""
    files: dict[str, Buffer] = {}
    zarr.create_group(MemoryStore(files), zarr_format=3, attributes=dict(attributes))
    return files[METADATA].to_bytes()
