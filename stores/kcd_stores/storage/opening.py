"""From what people write to a `Storage`, and what is asked of a place before a store is opened there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kcd_stores.storage.folder import FolderStorage
from kcd_stores.storage.location import is_web, parse_location
from kcd_stores.storage.objects import ObjectStorage
from kcd_stores.storage.protocol import Storage
from kcd_stores.storage.web import WebStorage

Where = str | Path | Storage


def open_storage(where: Where) -> Storage:
    """Return the storage at `where`, a path or a URL; a Storage is returned as it is. No request is sent.

    Raises
    ------
    StoreUsageError
        If `where` looks like a URL, but not like one that can hold a store.
    """
    if not isinstance(where, str | Path):
        return where
    location = parse_location(where)
    if isinstance(location, Path):
        return FolderStorage(location)
    return WebStorage(location) if is_web(location) else ObjectStorage(location)


def same_place(one: Where, other: Where) -> bool:
    """Return True if both name the same place, however they are written: `x/../store.zarr`, a link, a URL."""
    names = [open_storage(where).resolved_name for where in (one, other)]
    if names[0] == names[1]:
        return True
    try:
        return Path(names[0]).samefile(names[1])  # two names of one folder: letter case, a mount elsewhere
    except OSError:  # one of them is not there, or is remote
        return False


def is_vacant(where: Where) -> bool:
    """Return True if nothing is at `where`: no folder, or one with only temporary files that a killed writer left."""
    return open_storage(where).is_vacant()


@contextmanager
def one_writer(where: Where) -> Iterator[None]:
    """Hold the right to write the store or run at `where`.

    For an object store nothing is held and nobody is refused, because no lock there dies with its holder. Two
    extractions at once do the work twice and write the same bytes. kcd_stores.knowledge.ledger says what can get lost:
    records of blocks, which are then made again. A writer whose store was replaced by another process notices it and
    stops.

    Raises
    ------
    StoreInUseError
        If another process holds it.
    """
    with open_storage(where).lock():
        yield
