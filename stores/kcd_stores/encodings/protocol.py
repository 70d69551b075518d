"""The contract of an encoding: the arrays that rows become in a store, and the way back.

Letters: V views, N samples, C classes, n rows of one block.
"""

import math
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
        Dtype of the elements, as `zarr.open` shows them.
    row_shape
        Shape of the elements of one row.
    fill_value
        Value that is read where nothing was written. It is never a value that data can have.
    packed_bytes
        Bytes of one element when it reaches the compressor, that is, after `filters`.
    filters
        The array-to-array codecs.
    rounding
        The numcodecs codec among `filters` that loses precision, or None.
    decoded_values
        The decoded value of each packed value, in `dtype`, where an element is packed into one byte; else None.
    class_count
        The number of classes, where elements are class ids; else None.
    zero_bytes
        The low bytes of each element that are always zero, for memory to do without them: 0, or half of all bytes.
    """

    name: str
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    fill_value: Any
    packed_bytes: int
    filters: tuple[Any, ...] = field(default=())
    rounding: Any = field(default=None, compare=False)
    decoded_values: NDArray[Any] | None = field(default=None, compare=False)
    class_count: int | None = None
    zero_bytes: int = 0

    @property
    def memory_dtype(self) -> np.dtype[Any]:
        """The dtype of an element as it is held: as it was compressed, without the bytes that are always zero."""
        if self.zero_bytes:
            return np.dtype(f"u{self.dtype.itemsize - self.zero_bytes}")
        return self.dtype if self.decoded_values is None else np.dtype(f"u{self.packed_bytes}")

    def without_zeros(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return decompressed elements `part[n, *row_shape]` (contiguous) in `memory_dtype`."""
        if not self.zero_bytes:
            return part
        return part.view(self.memory_dtype)[..., 1::2]  # the upper halves of little-endian numbers

    def values(self, elements: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers `[n, *row_shape]`, in `dtype`, of elements in `memory_dtype`."""
        if self.zero_bytes:
            bits = elements.astype(f"u{self.dtype.itemsize}")
            bits <<= 8 * self.zero_bytes
            return bits.view(self.dtype)
        return elements if self.decoded_values is None else self.decoded_values.take(elements)

    def compressors(self, chunk_rows: int) -> list[Any]:
        """Return the codecs behind `filters`: byte shuffling and zstd, then a checksum over the result.

        Blosc cuts a buffer into blocks that fit a cache, 32 KiB at this level, each with its own entropy tables. One
        block a chunk takes 8 to 13% fewer bytes, and decodes two to four times as fast (docs/concepts/encodings.md).
        """
        shuffle: Literal["shuffle", "noshuffle"] = "shuffle" if self.packed_bytes > 1 else "noshuffle"
        size = chunk_rows * math.prod(self.row_shape) * self.packed_bytes
        return [
            BloscCodec(typesize=self.packed_bytes, cname="zstd", clevel=1, shuffle=shuffle, blocksize=size),
            Crc32cCodec(),
        ]

    def rounded(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return the elements that a store returns after `part[n, *row_shape]` was written to it."""
        if self.rounding is None:
            return part
        read = self.rounding.decode(self.rounding.encode(np.ascontiguousarray(part)))
        return np.asarray(read).view(self.dtype).reshape(part.shape)

    def is_data(self, part: NDArray[Any]) -> bool:
        """Return True if all of `part`, decompressed elements, can be data: finite numbers, or ids of classes."""
        if self.class_count is not None:
            return bool(part.max() < self.class_count)
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
            The elements `[n, *row_shape]` of each array, by its name.

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
