"""One writer at a time, by a lock that the operating system drops when its holder dies, however it dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from kcd_stores.errors import StoreUsageError
from kcd_stores.storage.location import Location, Where


@contextmanager
def one_writer(where: Where) -> Iterator[None]:
    """Hold the right to write the store or run at `where`; the lock is an empty hidden file beside it.

    For a remote store there is no lock, since none there dies with its holder: nothing is held and nobody refused.
    Two extractions at once do the work twice and write the same bytes; kcd_stores.knowledge.ledger says what can get
    lost (records of blocks, which are then made again), and a store replaced by another process is noticed and left.

    Raises
    ------
    StoreUsageError
        If another process holds it.
    """
    location = Location.of(where)
    if not location.is_local:
        yield
        return
    path = location.path.absolute()
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
            if error.errno is not None:  # with a file's name, one that has only a message would lose it
                error.filename = error.filename or str(path)  # a full disk says nothing of what was being written
            raise
