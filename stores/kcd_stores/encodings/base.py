"""What an encoding is: which arrays a block of logits becomes, and how they become logits again.

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
    """One zarr array of a store, `[V, N, *width]`.

    Attributes
    ----------
    name
        Of the array in the group.
    dtype
        What `zarr.open` says its elements are.
    width
        Its shape behind views and samples.
    fill
        What an unwritten element reads as; never a value that could be taken for data.
    packed
        Bytes an element has when it reaches the compressor, after `filters`.
    filters
        Array-to-array codecs.
    rounding
        The numcodecs codec of `filters`, where it loses something.
    table
        What each packed value means, in `dtype`, where `filters` make one of them: the codec's own decoding of all.
    limit
        Of class ids: all must be below it.
    """

    name: str
    dtype: np.dtype[Any]
    width: tuple[int, ...]
    fill: Any
    packed: int
    filters: tuple[Any, ...] = field(default=())
    rounding: Any = field(default=None, compare=False)
    table: NDArray[Any] | None = field(default=None, compare=False)
    limit: int | None = None

    def compressors(self, chunk_rows: int) -> list[Any]:
        """Return the codecs behind `filters`: byte shuffling and zstd, then a checksum over the result.

        Blosc cuts a buffer into blocks that fit a cache, 32 KiB at this level, each with its own entropy tables. One
        block a chunk takes 8 to 13% fewer bytes, and decodes two to four times as fast (docs/concepts/encodings.md).
        """
        shuffle: Literal["shuffle", "noshuffle"] = "shuffle" if self.packed > 1 else "noshuffle"
        size = chunk_rows * math.prod(self.width) * self.packed
        return [
            BloscCodec(typesize=self.packed, cname="zstd", clevel=1, shuffle=shuffle, blocksize=size),
            Crc32cCodec(),
        ]

    def rounded(self, part: NDArray[Any]) -> NDArray[Any]:
        """`part` as it will be read: what `filters` leave of it."""
        if self.rounding is None:
            return part
        read = self.rounding.decode(self.rounding.encode(np.ascontiguousarray(part)))
        return np.asarray(read).view(self.dtype).reshape(part.shape)

    def is_data(self, part: NDArray[Any]) -> bool:
        """Whether all elements of `part` can be data: finite, or ids of classes that exist."""
        if self.limit is not None:
            return bool(part.max() < self.limit)
        bits = part.view(f"u{part.dtype.itemsize}")  # finite if not all bits of the exponent are set
        exponent = bits.dtype.type({2: 0x7C00, 4: 0x7F800000}[part.dtype.itemsize])
        return bool((bits & exponent).max() < exponent)


class Encoding(Protocol):
    """A way to lay logits down, and its settings.

    Attributes
    ----------
    extra
        Columns that rows have behind their C logits: 0, but where features are kept with them.
    """

    @property
    def extra(self) -> int: ...

    @property
    def name(self) -> str:
        """The word used in `store.encoding`."""
        ...

    def settings(self) -> dict[str, Any]:
        """What `decode` depends on beside the data, as JSON; `make_encoding(name, **settings)` gives it back."""
        ...

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        """The arrays of a store of C classes.

        Raises
        ------
        ValueError
            If the settings do not fit that many classes.
        """
        ...

    def encode(self, logits: NDArray[np.float32], *, view: int, first: int) -> dict[str, NDArray[Any]]:
        """`logits[n, C]` float32 of samples `first, first + 1, ...` in their `view`, as array elements by name.

        Raises
        ------
        ValueError
            If a logit cannot be held; the message says which.
        """
        ...

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        """Array elements by name, as logits `[n, C]` in a floating dtype."""
        ...


def row_bytes(encoding: Encoding, classes: int) -> int:
    """Bytes of one row before the compressor: what a store takes at the most, but for padding and headers."""
    return sum(spec.packed * math.prod(spec.width) for spec in encoding.arrays(classes))


def id_dtype(classes: int) -> np.dtype[Any]:
    """The smallest unsigned integer that holds every class id and, beside them, its own largest value as 'none'."""
    return next(np.dtype(f"u{size}") for size in (1, 2, 4) if classes <= np.iinfo(f"u{size}").max)


def out_of_range(logits: NDArray[np.float32], low: float, high: float) -> str | None:
    """Where a logit lies outside `[low, high]`, in words, or None."""
    beyond = (logits < low) | (logits > high)
    if not beyond.any():
        return None
    row, column = np.argwhere(beyond)[0]
    return f"logit {logits[row, column]:g} (row {row}, class {column}) is outside {low:g} to {high:g}"
