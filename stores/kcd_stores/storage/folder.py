"""A store in a folder: each file is written to a temporary name and renamed; durable means flushed to the disk."""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store

from kcd_stores.errors import CorruptStoreError, Remedy, StoreUsageError
from kcd_stores.storage.durable import TEMPORARY, flush_to_disk, is_temporary, write_whole
from kcd_stores.storage.lock import folder_lock
from kcd_stores.storage.permission import permission_in_words
from kcd_stores.storage.protocol import Buffer
from kcd_stores.storage.settings import largest
from kcd_stores.storage.zarr_files import ZarrFiles

LARGEST_WHOLE = 1 << 30  # bytes of a file that is read whole; shards, which may be larger, are read in parts


@dataclass(frozen=True)
class FolderStorage:
    """The files below `path`; see kcd_stores.storage.protocol for the methods."""

    path: Path

    parallel_reads = 1
    has_lock = True
    can_list = True

    def __str__(self) -> str:
        return str(self.path)

    @property
    def absolute_name(self) -> str:
        return str(self.path.absolute())

    @property
    def resolved_name(self) -> str:
        return os.path.realpath(self.path)

    # --- what is there ------------------------------------------------------------------------------------

    def is_vacant(self) -> bool:
        if self.path.is_symlink() and self._stat("") is None:
            raise StoreUsageError(
                f"{self} is a link to {self.path.readlink()}, where nothing is. Remove the link, or make the folder "
                f"that it leads to.",
                remedy=Remedy.CORRECT_LOCATION,
            )
        with permission_in_words(str(self)):
            try:
                with os.scandir(self.path) as entries:
                    return all(is_temporary(entry) for entry in entries)
            except FileNotFoundError:
                return True
            except NotADirectoryError:
                return False

    def is_file(self) -> bool:
        return self.holds("")

    def holds(self, name: str) -> bool:
        status = self._stat(name)
        return status is not None and stat.S_ISREG(status.st_mode)

    def sizes(self, below: str = "") -> list[int]:
        with permission_in_words(str(self)):
            names = [
                str((Path(folder) / file).relative_to(self.path))
                for folder, _, files in os.walk(self.path / below, onerror=_refuse_forbidden)
                for file in files
                if not TEMPORARY.fullmatch(file)
            ]
        return self.sizes_of(names)

    def sizes_of(self, names: Sequence[str]) -> list[int]:
        found = (self._stat(name) for name in names)  # by now a file may be gone
        return [status.st_size for status in found if status is not None and stat.S_ISREG(status.st_mode)]

    def free_space(self) -> tuple[Path, int]:
        place = next(parent for parent in Path(self.resolved_name).parents if parent.exists())
        return place, shutil.disk_usage(place).free

    def _stat(self, name: str) -> os.stat_result | None:
        """Return what the file system says of a file or folder; None if it is missing."""
        with permission_in_words(f"{self}/{name}"):
            try:
                return (self.path / name).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None

    # --- reading ------------------------------------------------------------------------------------------

    def zarr_store(self, *, read_only: bool = False, existing: bool = False) -> Store:
        if existing and (self.is_file() or self.is_vacant()):
            raise FileNotFoundError(f"no store at {self}")
        return ZarrFiles(self.path, read_only=read_only)

    def fetch(self, names: Sequence[str]) -> list[bytes | None]:
        return [self._fetch(name) for name in names]

    def _fetch(self, name: str) -> bytes | None:
        path = f"{self.path}/{name}"
        try:
            with _opened(path) as descriptor:
                size, limit = os.fstat(descriptor).st_size, min(largest(name), LARGEST_WHOLE)
                if size > limit:
                    raise CorruptStoreError(
                        f"{path} has {size:,} bytes, and no file of a store that is called so has more than {limit:,}.",
                        remedy=Remedy.RESTORE_STORE,
                    )
                return b"".join(iter(lambda: os.read(descriptor, size + 1), b""))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_end(self, name: str, size: int) -> Buffer:
        with _opened(f"{self.path}/{name}") as descriptor:
            length = os.fstat(descriptor).st_size
            return os.pread(descriptor, size, max(length - size, 0))

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        with _opened(f"{self.path}/{name}") as descriptor:
            return [os.pread(descriptor, size, offset) for offset, size in ranges]

    def read_into(self, name: str, offset: int, buffer: NDArray[np.uint8]) -> int:
        with _opened(f"{self.path}/{name}") as descriptor:
            return os.preadv(descriptor, [buffer.data], offset)

    # --- writing ------------------------------------------------------------------------------------------

    def require_writable(self) -> None:
        """A folder can be written to; a disk that refuses says so itself."""

    def lock(self) -> AbstractContextManager[None]:
        return folder_lock(self.path)

    def put(self, name: str, data: bytes, *, check: Callable[[], object] | None = None) -> None:
        with permission_in_words(f"{self}/{name}"):
            write_whole(self.path / name, data, durably=True)
            self._flush_folders(name)

    def update(self, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
        after = change(self._fetch(name))
        if after is not None:
            with permission_in_words(f"{self}/{name}"):
                write_whole(self.path / name, after, durably=False)

    def remove(self, name: str) -> None:
        target = self.path / name
        with permission_in_words(str(target)):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)  # of a link, not of what it leads to

    def make_durable(self, name: str) -> None:
        flush_to_disk(self.path / name)
        self._flush_folders(name)

    def _flush_folders(self, name: str) -> None:
        """Flush the entries that lead to a file: those of its folders, another process may have made a moment ago."""
        for folder in (self.path / name).parents[: len(Path(name).parts)]:
            flush_to_disk(folder)

    def remove_partials(self) -> None:
        for folder, _, _ in os.walk(self.path):  # which follows no links
            for entry in os.scandir(folder):
                if is_temporary(entry):
                    Path(entry.path).unlink(missing_ok=True)


def _refuse_forbidden(error: OSError) -> None:
    """Raise an error of permission, which `os.walk` would pass over; a folder that is gone by now is nothing."""
    if isinstance(error, PermissionError):
        raise error


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a file to be read by position, which a bare descriptor does without a buffer of its own.

    What is no file is missing: a folder, and what would never end, such as a pipe.
    """
    with permission_in_words(path):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(errno.ENOENT, "it is not a file", path)
        yield descriptor
    finally:
        os.close(descriptor)
