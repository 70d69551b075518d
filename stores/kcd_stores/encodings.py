"""How logits are laid down on disk: every encoding is a dtype and a chain of public zarr codecs.

A store opened with `zarr.open` alone therefore reads as real logits, with no arithmetic of ours in between.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from kcd_stores.errors import StoreUsageError


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A dense encoding of logits, by name.

    Attributes
    ----------
    name
        The word used in `store.encoding`.
    dtype
        What the zarr array says its elements are.
    largest
        Logits beyond this magnitude (in logits) cannot be held and are refused.
    """

    name: str
    dtype: np.dtype[Any]
    largest: float

    def compressors(self) -> list[Any]:
        """Bytes-to-bytes codecs of one inner chunk: byte shuffle and zstd, then a checksum over the result."""
        compress = BloscCodec(typesize=self.dtype.itemsize, cname="zstd", clevel=1, shuffle="shuffle")
        return [compress, Crc32cCodec()]

    def encode(self, logits: NDArray[np.float32]) -> NDArray[Any]:
        """`logits[n, C]` float32 as the array elements that are written.

        Raises
        ------
        ValueError
            If a logit is too large for this encoding; the message says where.
        """
        beyond = np.abs(logits) > self.largest
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            raise ValueError(
                f"logit {logits[row, column]:g} (row {row}, class {column}) is beyond ±{self.largest:g}, "
                f"the largest that {self.name} holds; use store.encoding float32"
            )
        return logits.astype(self.dtype)


def _floating(name: str) -> Encoding:
    dtype = np.dtype(name)
    return Encoding(name=name, dtype=dtype, largest=float(np.finfo(dtype).max))


ENCODINGS: dict[str, Encoding] = {name: _floating(name) for name in ("float32", "float16")}


def encoding_by_name(name: str) -> Encoding:
    """The encoding called `name`.

    Raises
    ------
    StoreUsageError
        If there is none; the message lists those there are.
    """
    try:
        return ENCODINGS[name]
    except KeyError:
        raise StoreUsageError(f"there is no encoding '{name}'; there are: {', '.join(ENCODINGS)}") from None
