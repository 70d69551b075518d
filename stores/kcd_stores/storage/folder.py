"""A store in a folder: zarr writes each file to a temporary name and renames it; durable means flushed to the disk."""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.storage import LocalStore

from kcd_stores.storage.elements import object_names
from kcd_stores.storage.lock import folder_lock
from kcd_stores.storage.protocol import Buffer

PARTIAL = ".partial"  # the ending of a temporary file: a write that has not come to its rename


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
        if self.path.is_dir():
            return all(entry.suffix == PARTIAL for entry in self.path.iterdir())
        return not self.path.exists()

    def is_file(self) -> bool:
        return self.path.is_file()

    def holds(self, name: str) -> bool:
        return (self.path / name).is_file()

    def sizes(self, below: str = "") -> list[int]:
        return [file.stat().st_size for file in (self.path / below).rglob("*") if file.is_file()]

    def sizes_of(self, names: Sequence[str]) -> list[int]:
        return [(self.path / name).stat().st_size for name in names if self.holds(name)]

    def free_space(self) -> tuple[Path, int]:
        place = next(parent for parent in self.path.absolute().parents if parent.exists())
        return place, shutil.disk_usage(place).free

    # --- reading ------------------------------------------------------------------------------------------

    def zarr_store(self, *, read_only: bool = False, existing: bool = False) -> Store:
        if existing and (self.is_file() or self.is_vacant()):
            raise FileNotFoundError(f"no store at {self}")
        return LocalStore(self.path, read_only=read_only)

    def fetch(self, names: Sequence[str]) -> list[bytes | None]:
        return [(self.path / name).read_bytes() if self.holds(name) else None for name in names]

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

    def read_elements(self, array: "zarr.Array[Any]", view: int, start: int, stop: int) -> NDArray[Any]:
        return np.array(array[view, start:stop])

    # --- writing ------------------------------------------------------------------------------------------

    def require_writable(self) -> None:
        """A folder can be written to; a disk that refuses says so itself."""

    def lock(self) -> AbstractContextManager[None]:
        return folder_lock(self.path)

    def write_elements(self, array: "zarr.Array[Any]", view: int, start: int, values: NDArray[Any]) -> None:
        array[view, start : start + len(values)] = values
        for name in object_names(array, view, start, start + len(values)):
            self.make_durable(name)

    def put(self, name: str, data: bytes) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}{PARTIAL}")
        try:
            with partial.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(file)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        for folder in file.parents:  # a folder that was made for the file must be as durable as its entry there
            _flush(folder)
            if folder == self.path:
                break

    def remove(self, name: str) -> None:
        target = self.path / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)  # of a link, not of what it leads to

    def make_durable(self, name: str) -> None:
        file = self.path / name
        for target in (file, file.parent):  # the data, and the entry that leads to it
            _flush(target)

    def remove_partials(self) -> None:
        for partial in self.path.rglob(f"*{PARTIAL}"):
            partial.unlink()


def _flush(target: Path) -> None:
    """Return when a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a file to be read by position, which a bare descriptor does without a buffer of its own."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
