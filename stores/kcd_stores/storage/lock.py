"""One writer at a time, by a lock that the operating system drops when its holder dies, however it dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kcd_stores.errors import StoreUsageError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the right to write the store or run at `folder`; the lock is an empty hidden file beside it.

    An OSError that is raised inside and names no file gets the name of the folder: an error about a full disk does
    not say what was being written.

    Raises
    ------
    StoreUsageError
        If another process holds it.
    """
    path = folder.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreUsageError(
                f"another process is writing {path} at this moment. Let it finish, or stop it; what it has completed "
                f"is kept, and the same command goes on from there."
            ) from None
        try:
            yield
        except OSError as error:
            if error.errno is not None:  # an error that has only a message would lose it
                error.filename = error.filename or str(path)
            raise
