"""Files that belong to somebody else: an error of its own, so that nobody takes them for damaged ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from kcd_stores.errors import Remedy, StoreUsageError


@contextmanager
def permission_in_words(place: str) -> Iterator[None]:
    """Turn a PermissionError that is raised inside into a StoreUsageError that names the file.

    Parameters
    ----------
    place
        The name of the store or run, for an error that names no file.
    """
    try:
        yield
    except PermissionError as error:
        raise StoreUsageError(
            f"permission denied: this user may not read or write {error.filename or place}. Nothing is known to be "
            f"wrong with it.",
            remedy=Remedy.GET_PERMISSION,
        ) from error
