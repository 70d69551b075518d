"""The contract of an encoding: the arrays that rows become in a store, and the way back.

Letters: V views, N samples, C classes, n rows of one block.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """One zarr array of a store, of shape `[V, N, *row_shape]`.

    Attributes
    ----------
    name
        Name of the array in the zarr group.
    dtype
        Dtype of the elements, as they are stored and as `zarr.open` shows them.
    row_shape
        Shape of the elements of one row.
    fill_value
        Value that is read where nothing was written. Where a dtype has room for it, no data has this value.
    attributes
        The attributes of the zarr array, for readers that know nothing of this package.
    class_count
        The number of classes, where elements are class ids; else None.
    zero_bytes
        The low bytes of each element that are always zero, for memory to do without them: 0, or half of all bytes.
    shuffled_bytes
        The bytes that blosc shuffles as one element; None for those of an element.
    codec_before_format_3
        The codec of numcodecs that stores of formats 1 and 2 name in the metadata of this array, by which zarr reads
        the stored bytes, which are the same, as float32; None if they name none.
    """

    name: str
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    fill_value: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)
    class_count: int | None = None
    shuffled_bytes: int | None = None
    codec_before_format_3: Mapping[str, Any] | None = None
    zero_bytes: int = 0

    @property
    def memory_dtype(self) -> np.dtype[Any]:
        """The dtype of an element as it is held: as it was compressed, without the bytes that are always zero."""
        if self.zero_bytes:
            return np.dtype(f"u{self.dtype.itemsize - self.zero_bytes}")
        return self.dtype

    def without_zeros(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return decompressed elements `part[n, *row_shape]` (contiguous) in `memory_dtype`."""
        if not self.zero_bytes:
            return part
        return part.view(self.memory_dtype)[..., 1::2]  # the upper halves of little-endian numbers

    def with_zeros(self, elements: NDArray[Any]) -> NDArray[Any]:
        """Return elements `[n, *row_shape]` in `dtype`, given them in `memory_dtype`."""
        if not self.zero_bytes:
            return elements
        bits = elements.astype(f"u{self.dtype.itemsize}")
        bits <<= 8 * self.zero_bytes
        return bits.view(self.dtype)

    @property
    def packed_bytes(self) -> int:
        """Bytes of one element when it reaches the compressor."""
        return self.dtype.itemsize

    def compressors(self, chunk_rows: int) -> list[Any]:
        """Return the codecs of a chunk: byte shuffling and zstd, then a checksum over the result.

        Blosc cuts a buffer into blocks that fit a cache, 32 KiB at this level, each with its own entropy tables. One
        block a chunk takes 8 to 13% fewer bytes, and decodes two to four times as fast (docs/concepts/encodings.md).
        """
        shuffled = self.shuffled_bytes or self.packed_bytes
        shuffle: Literal["shuffle", "noshuffle"] = "shuffle" if shuffled > 1 else "noshuffle"
        size = chunk_rows * math.prod(self.row_shape) * self.packed_bytes
        return [
            BloscCodec(typesize=shuffled, cname="zstd", clevel=1, shuffle=shuffle, blocksize=size),
            Crc32cCodec(),
        ]

    def is_data(self, part: NDArray[Any]) -> bool:
        """Return True if all of `part`, decompressed elements, can be data: finite numbers, or ids of classes."""
        if self.class_count is not None:
            return bool(part.max() < self.class_count)
        if part.dtype.kind == "i":  # signed codes, of which the lowest is never used
            return bool(part.min() > np.iinfo(part.dtype).min)
        if part.dtype.kind != "f":
            return True  # any byte stands for a number
        bits = part.view(f"u{part.dtype.itemsize}")  # a float is finite unless all bits of its exponent are set
        exponent = bits.dtype.type({2: 0x7C00, 4: 0x7F800000}[part.dtype.itemsize])
        zeros = bits.dtype.type((1 << 8 * self.zero_bytes) - 1)
        return bool((bits & exponent).max() < exponent) and not (zeros and (bits & zeros).any())


class Encoding(Protocol):
    """A way to store rows, with its settings. A row has C logits, and `feature_columns` features behind them."""

    @property
    def name(self) -> str:
        """The name by which `make_encoding` knows it."""
        ...

    @property
    def feature_columns(self) -> int:
        """The number of features in a row; 0 if rows are logits alone."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return the settings of the logits, as JSON: `make_encoding(name, **settings)` makes the same encoding."""
        ...

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        """Return the arrays of a store with that many classes.

        Raises
        ------
        ValueError
            If the settings do not fit the number of classes.
        """
        ...

    def encode(self, rows: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        """Encode rows of neighbouring samples.

        Parameters
        ----------
        rows
            `[n, C + feature_columns]` float32.
        view
            The view that they are rows of.
        first
            The sample of the first row.

        Returns
        -------
        dict
            The elements `[n, *row_shape]` of each array, by its name, as they are stored: reading them back changes
            nothing.

        Raises
        ------
        OutOfRangeError
            If a number is outside the range of the encoding; the message says which one.
        """
        ...

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        """Return the rows `[n, C + feature_columns]`, in a floating dtype, from elements of each array by its name."""
        ...


def row_bytes(encoding: Encoding, classes: int) -> int:
    """Return the bytes of one encoded row before compression: about the most that it can take in a store."""
    return sum(spec.packed_bytes * math.prod(spec.row_shape) for spec in encoding.arrays(classes))


def id_dtype(classes: int) -> np.dtype[Any]:
    """Return the smallest unsigned dtype that holds all class ids, and one more value that stands for no class.

    The value for no class is the largest one of the dtype.
    """
    return next(np.dtype(f"u{size}") for size in (1, 2, 4) if classes <= np.iinfo(f"u{size}").max)


def out_of_range(logits: NDArray[np.float32], low: float, high: float) -> str | None:
    """Return a sentence about the first of the `logits[n, C]` outside `[low, high]`; None if there is no such logit."""
    beyond = (logits < low) | (logits > high)
    if not beyond.any():
        return None
    row, column = np.argwhere(beyond)[0]
    return f"logit {logits[row, column]:g} (row {row}, class {column}) is outside {low:g} to {high:g}"
