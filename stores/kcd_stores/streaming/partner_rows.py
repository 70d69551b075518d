"""Rows of the partners of an epoch, which wait until the window of their samples is read: in memory, or in a file."""

import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PartnerRows(Protocol):
    """Room for packed rows `[P, W]`, filled in any order and taken in ranges. P partners, W bytes of a packed row."""

    def put(self, places: NDArray[np.int64], rows: NDArray[np.uint8]) -> None:
        """Put `rows[m, W]` at the places `places[m]`."""
        ...

    def take(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the rows `[stop - start, W]` at the places from `start` to `stop - 1`."""
        ...

    def close(self) -> None:
        """Free the memory or the file."""
        ...


class PartnersInMemory:
    """Partner rows in an array.

    Parameters
    ----------
    rows
        The array `[P, W]` to be filled; nobody else may use it.
    """

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self._rows = rows

    def put(self, places: NDArray[np.int64], rows: NDArray[np.uint8]) -> None:
        self._rows[places] = rows

    def take(self, start: int, stop: int) -> NDArray[np.uint8]:
        return self._rows[start:stop]

    def close(self) -> None:
        self._rows = self._rows[:0].copy()


class PartnersInFile:
    """Partner rows in a file without a name, which is gone when it is closed or its process ends.

    The file is read and written by position. It is not mapped, because pages of a mapping count as memory of the
    process.

    Parameters
    ----------
    folder
        Folder of the file; the system's folder for temporary files if None.
    row_bytes
        W.
    """

    def __init__(self, folder: Path | None, row_bytes: int) -> None:
        self._folder, self._row_bytes = folder, row_bytes
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by `close`

    def put(self, places: NDArray[np.int64], rows: NDArray[np.uint8]) -> None:
        try:
            for place, row in zip(places.tolist(), rows, strict=True):
                self._file.seek(place * self._row_bytes)
                self._file.write(row.tobytes())
            self._file.flush()
        except OSError as error:  # that a disk is full is said without a name of the disk
            error.filename = error.filename or str(self._folder or tempfile.gettempdir())
            raise

    def take(self, start: int, stop: int) -> NDArray[np.uint8]:
        self._file.seek(start * self._row_bytes)
        data = self._file.read((stop - start) * self._row_bytes)
        return np.frombuffer(data, np.uint8).reshape(stop - start, self._row_bytes)

    def close(self) -> None:
        self._file.close()
