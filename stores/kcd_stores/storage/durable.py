"""Files that outlive a lost machine: data first, then the folder entries that lead to it."""

import errno
import os
import re
from pathlib import Path
from uuid import uuid4

# a write that has not come to its rename, as zarr names it too; other files that end in .partial are the user's own
TEMPORARY = re.compile(r"(zarr|\d+)\.[0-9a-f]{32}\.partial")

# what network and user-space file systems answer that flush a folder by themselves, or never
FOLDER_CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def flush_to_disk(path: Path) -> None:
    """Return when the file at `path`, or the list of names in the folder at `path`, is on the disk.

    Raises
    ------
    OSError
        If the disk refuses. A file system that cannot flush a folder is no error: it has no more to offer.
    """
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in FOLDER_CANNOT_FLUSH or not path.is_dir():
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes, *, durably: bool) -> None:
    """Write a file to a temporary name and rename it, so that it is never half there; missing folders are made.

    With `durably`, its data is on the disk before it has its name; the folders are left to the caller to flush.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{uuid4().hex}.partial")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            if durably:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_temporary(entry: os.DirEntry[str]) -> bool:
    """Return True if an entry of a folder is a temporary file of ours, which a killed writer may have left."""
    return TEMPORARY.fullmatch(entry.name) is not None and entry.is_file(follow_symlinks=False)
