"""Arrays of a number for each sample: in memory while they are small, else in files without a name, which are mapped.

A mapped array is used like any other. The kernel writes its pages to the file and takes their memory for other things
when it is short of it, so that only the disk limits the size. The file is gone when the array is, or its process ends.
Whoever works on such arrays does it piece by piece, for what an expression of numpy returns is in memory.
"""

import errno
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGEST_IN_MEMORY = 1 << 24  # bytes of an array; there are about ten of them in a run
PIECE = 1 << 20  # elements that are worked on at a time
CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # what file systems answer that reserve nothing


@dataclass(frozen=True)
class Scratch:
    """A place for arrays.

    Attributes
    ----------
    folder
        Folder of the files; the system's folder for temporary files if None.
    in_memory
        Bytes of the largest array that is held in memory; LARGEST_IN_MEMORY if None.
    """

    folder: Path | None = None
    in_memory: int | None = None

    @property
    def uses_files(self) -> bool:
        """True if arrays may be in files."""
        return self.in_memory != sys.maxsize

    @property
    def largest_in_memory(self) -> int:
        """Bytes of the largest array that is held in memory."""
        return LARGEST_IN_MEMORY if self.in_memory is None else self.in_memory

    def empty(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Return an array `[count]` that holds anything."""
        size = count * np.dtype(dtype).itemsize
        if size <= self.largest_in_memory:
            return np.empty(count, dtype)
        return np.frombuffer(self._mapped(size), dtype, count) if size else np.empty(0, dtype)

    def full(self, count: int, dtype: DTypeLike, value: float) -> NDArray[Any]:
        """Return an array `[count]` that holds `value` everywhere."""
        array = self.empty(count, dtype)
        array.fill(value)
        return array

    def counted(self, count: int) -> NDArray[np.int64]:
        """Return 0 to `count` - 1, int64."""
        array = self.empty(count, np.int64)
        for piece in pieces(count):
            array[piece] = np.arange(piece.start, piece.stop)
        return array

    def _mapped(self, size: int) -> mmap.mmap:
        """Return the map of a new file of `size` bytes, whose room on the disk is reserved.

        Raises
        ------
        OSError
            If the disk is too small. Without the reservation, a full disk would end the process by a signal.
        """
        try:
            with tempfile.TemporaryFile(dir=self.folder, buffering=0) as file:
                _reserve(file.fileno(), size)
                return mmap.mmap(file.fileno(), size)
        except OSError as error:  # that a disk is full is said without a name of the disk
            error.filename = error.filename or str(self.folder or tempfile.gettempdir())
            raise


IN_MEMORY = Scratch(in_memory=sys.maxsize)  # for those who have the memory


def pieces(count: int) -> Iterator[slice]:
    """Yield slices that cut `count` elements into pieces of at most PIECE."""
    for first in range(0, count, PIECE):
        yield slice(first, min(first + PIECE, count))


def constant(count: int, value: float, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array `[count]` that holds `value` everywhere, takes no memory, and cannot be written to."""
    return np.broadcast_to(np.array(value, dtype), (count,))


def different(array: NDArray[Any]) -> NDArray[Any]:
    """Return the part of `array[n]` that has to be looked at to see all its values: one of a `constant`."""
    return array[:1] if array.strides == (0,) else array


def _reserve(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
        return
    except AttributeError:  # a system without it
        pass
    except OSError as error:
        if error.errno not in CANNOT_RESERVE:
            raise
    zeros = bytes(min(size, 1 << 20))
    for first in range(0, size, len(zeros)):
        os.pwrite(descriptor, zeros[: size - first], first)
