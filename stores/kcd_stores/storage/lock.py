"""One writer at a time, by a lock that the operating system drops when its holder dies, however it dies."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from kcd_stores.errors import StoreInUseError
from kcd_stores.storage.permission import permission_in_words

WAIT = 0.2  # seconds; a holder that is about to end removes its file first, and then the next attempt succeeds

# what file systems without locks answer; `filelock` knows only the first
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the right to write the store or run at `folder`; the lock is a hidden file beside it, until this ends.

    Links are followed, so that a folder has one lock by whatever name it is called. Where the file system has no
    locks, the file itself stands for one: `filelock` removes that of a process of this machine that is gone.

    An OSError that is raised inside and names no file gets the name of the folder: an error about a full disk does
    not say what was being written.

    Raises
    ------
    StoreInUseError
        If another process holds it.
    StoreUsageError
        If this user may make no file there.
    """
    path = Path(os.path.realpath(folder))
    with permission_in_words(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        try:
            yield
        except OSError as error:
            if error.errno is not None:  # an error that has only a message would lose it
                error.filename = error.filename or str(path)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = path.parent / f".{path.name}.lock"
    lock = FileLock(file, timeout=WAIT, thread_local=False, fallback_to_soft=False)
    try:
        with permission_in_words(str(file)):
            lock.acquire()
    except Timeout:
        raise StoreInUseError(_held(path)) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        file.unlink(missing_ok=True)
        with _marked(path):
            yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file; there `filelock` does it behind the next line
            file.unlink()
        lock.release()


@contextmanager
def _marked(path: Path) -> Iterator[None]:
    """Hold a lock that consists in the existence of a file."""
    file = path.parent / f".{path.name}.writing"
    lock = SoftFileLock(file, timeout=WAIT, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise StoreInUseError(
            f"{_held(path)} The file system there has no locks, so the file {file} stands for one: if no process is "
            f"writing there, because it was killed or its machine is gone, remove that file."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _held(path: Path) -> str:
    return (
        f"another process is writing {path} at this moment. Let it finish, or stop it; what it has completed is kept, "
        f"and the same command goes on from there."
    )
