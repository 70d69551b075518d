"""Packed rows: how rows lie in memory until they are taught, and the way from there to the numbers of a row.

Letters: n rows, W bytes of a packed row, C classes, D features.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.protocol import ArraySpec, Encoding


@dataclass(frozen=True, kw_only=True)
class Packing:
    """The form of packed rows `[n, W]` uint8: the elements of a row in all arrays of its encoding, side by side.

    Elements are as they were compressed, so a row of `int8` takes C bytes, and one of `topk` 3 or 4 bytes for each of
    its k classes and 4 more. `bitround` does without the half of each number that is zero.

    Attributes
    ----------
    encoding
        The encoding of the rows.
    classes
        C; 0 where rows are features alone.
    """

    encoding: Encoding
    classes: int

    @cached_property
    def arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays of the encoding."""
        return self.encoding.arrays(self.classes)

    @cached_property
    def fields(self) -> np.dtype[Any]:
        """The structured dtype of a packed row, with a field for each array; those of wide elements come first."""
        by_width = sorted(self.arrays, key=lambda spec: -spec.memory_dtype.itemsize)  # so that most are aligned
        return np.dtype([(spec.name, spec.memory_dtype, spec.row_shape) for spec in by_width])

    @property
    def row_bytes(self) -> int:
        """W: bytes of a packed row."""
        return self.fields.itemsize

    @property
    def columns(self) -> int:
        """Numbers of a decoded row: C, and D more if rows have features."""
        return self.classes + self.encoding.feature_columns

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The floating dtype of decoded rows."""
        return self.decode(np.empty((0, self.row_bytes), np.uint8)).dtype

    @cached_property
    def plain(self) -> bool:
        """True if packed rows are decoded rows: floating numbers that are stored as they are."""
        return len(self.arrays) == 1 and self.arrays[0].memory_dtype == self.dtype

    @property
    def decoded_bytes(self) -> int:
        """Bytes of a decoded row."""
        return self.columns * self.dtype.itemsize

    def elements(self, packed: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return views of the elements `[n, *row_shape]` of each array, by its name, in `packed[n, W]` (contiguous)."""
        rows = packed.view(self.fields)[:, 0]
        return {spec.name: rows[spec.name] for spec in self.arrays}

    def decode(self, packed: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the rows `[n, columns]`, in `dtype`, of `packed[n, W]` (contiguous), which may share their memory."""
        elements = self.elements(packed)
        parts = {spec.name: spec.with_zeros(elements[spec.name]) for spec in self.arrays}
        return self.encoding.decode(parts, self.classes)

    def __getstate__(self) -> dict[str, Any]:
        return {"encoding": self.encoding, "classes": self.classes}  # codecs of arrays may not be pickled
