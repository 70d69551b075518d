"""Where the partners' rows of an epoch wait, in window order, until their window is read: in memory, or in a file."""

import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Shelf(Protocol):
    """`n` rows of one dtype and width, put in any order and taken in slices."""

    def put(self, places: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Lay `rows[m, C]` at `places[m]`."""
        ...

    def take(self, start: int, stop: int) -> NDArray[Any]:
        """Rows `[start, stop)`."""
        ...

    def close(self) -> None:
        """Give up what it holds."""
        ...


class MemoryShelf:
    """An array `rows[n, C]`, given over to be filled."""

    def __init__(self, rows: NDArray[Any]) -> None:
        self._rows = rows

    def put(self, places: NDArray[np.int64], rows: NDArray[Any]) -> None:
        self._rows[places] = rows

    def take(self, start: int, stop: int) -> NDArray[Any]:
        return self._rows[start:stop]

    def close(self) -> None:
        self._rows = self._rows[:0].copy()


class FileShelf:
    """A nameless file in `folder` (None: the system's for temporary files), gone when it is closed or its process dies.

    Written and read by position, not mapped: pages of a mapping would count as memory of this process.
    """

    def __init__(self, folder: Path | None, width: int, dtype: np.dtype[Any]) -> None:
        self._folder, self._width, self._dtype = folder, width, dtype
        self._row_bytes = width * dtype.itemsize
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # lives as long as the shelf

    def put(self, places: NDArray[np.int64], rows: NDArray[Any]) -> None:
        try:
            for place, row in zip(places.tolist(), rows, strict=True):
                self._file.seek(place * self._row_bytes)
                self._file.write(row.tobytes())
            self._file.flush()
        except OSError as error:
            error.filename = error.filename or str(
                self._folder or tempfile.gettempdir()
            )  # a full disk says nothing of where
            raise

    def take(self, start: int, stop: int) -> NDArray[Any]:
        self._file.seek(start * self._row_bytes)
        data = self._file.read((stop - start) * self._row_bytes)
        return np.frombuffer(data, self._dtype).reshape(stop - start, self._width)

    def close(self) -> None:
        self._file.close()
