"""Dense encodings: every logit is stored, in an array of plain numbers that any reader of zarr 3 reads.

No codec is named but zarr's own. `int8` has bytes, and says in the attributes of the array which numbers they stand
for, by the CF conventions: `add_offset + scale_factor * byte`.

Letters: V views, N samples, C classes, n rows of one block.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.protocol import ArraySpec, out_of_range
from kcd_stores.errors import OutOfRangeError

LEVELS = 255  # steps of int8 from its low to its high
UPPER_BITS = 7  # of a float32's mantissa that lie in its upper half, behind sign and exponent


class Dense:
    """Base of the dense encodings, whose stores have one array `logits[V, N, C]`."""

    name: str
    feature_columns = 0

    def settings(self) -> dict[str, Any]:
        return {}

    def spec(self, classes: int, dtype: str, **more: Any) -> ArraySpec:
        """Return the array of logits; `more` are fields of `ArraySpec` that differ from those of a plain array."""
        settings = {"fill_value": float("nan"), **more}
        return ArraySpec(name="logits", dtype=np.dtype(dtype), row_shape=(classes,), **settings)

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        return parts["logits"]


@dataclass(frozen=True)
class Float(Dense):
    """Encoding `float32`, which keeps logits exactly, or `float16`, which rounds them to 11 significant bits."""

    name: str

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        return (self.spec(classes, self.name),)

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        largest = float(np.finfo(self.name).max)
        if wrong := out_of_range(logits, -largest, largest):
            raise OutOfRangeError(f"{wrong}, all that {self.name} holds; use the encoding float32")
        return {"logits": logits.astype(self.name)}


@dataclass(frozen=True, kw_only=True)
class BitRounded(Dense):
    """Encoding `bitround`: float32 rounded to `keep_bits` bits of mantissa; zstd packs the others, which are zero.

    The relative error is at most `2**-(keep_bits + 1)` (Klöwer et al. 2021, "Compressing atmospheric data into its real
    information content").
    """

    keep_bits: int = 7
    name = "bitround"

    def settings(self) -> dict[str, Any]:
        return {"keep_bits": self.keep_bits}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if not 1 <= self.keep_bits <= 23:
            raise ValueError(f"bitround keeps 1 to 23 bits of mantissa, got keep_bits {self.keep_bits}")
        earlier = {"name": "numcodecs.bitround", "configuration": {"keepbits": self.keep_bits}}
        zeros = 2 if self.keep_bits <= UPPER_BITS else 0
        return (self.spec(classes, "float32", codec_before_format_3=earlier, zero_bytes=zeros),)

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        rounded = numcodecs.BitRound(keepbits=self.keep_bits).encode(logits)
        return {"logits": rounded.view(np.float32)}


@dataclass(frozen=True, kw_only=True)
class Int8(Dense):
    """Encoding `int8`: 256 even steps from `low` to `high`, so the error is at most half a step, `(high - low) / 510`.

    A byte b stands for the logit `low + b * (high - low) / 255`. Nothing is clipped: a logit outside the range raises
    OutOfRangeError.
    """

    low: float
    high: float
    name = "int8"

    def settings(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if not self.low < self.high:
            raise ValueError(f"int8 needs low < high, got {self.low} and {self.high}")
        more = {
            "fill_value": 0,
            "attributes": {"scale_factor": self._step, "add_offset": self.low},
            "codec_before_format_3": {
                "name": "numcodecs.fixedscaleoffset",
                "configuration": {"offset": self.low, "scale": self._steps, "dtype": "<f4", "astype": "|u1"},
            },
        }
        return (self.spec(classes, "uint8", **more),)

    @property
    def _step(self) -> float:
        return (self.high - self.low) / LEVELS

    @property
    def _steps(self) -> float:
        """The number of steps in a logit of 1, by which bytes were computed from the first format on."""
        return LEVELS / (self.high - self.low)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        """The logit that each byte stands for, `[256]` float32."""
        return (np.arange(LEVELS + 1) * self._step + self.low).astype(np.float32)

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        if wrong := out_of_range(logits, self.low, self.high):
            raise OutOfRangeError(
                f"{wrong}, the range of this int8 encoding, and nothing is clipped; use one with a wider range, or the "
                f"encoding float16"
            )
        return {"logits": np.around((logits - self.low) * self._steps).astype(np.uint8)}

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        return self._table.take(parts["logits"], mode="clip")  # no byte is beyond the table, so none needs a check


def widened_range(numbers: NDArray[np.float32]) -> tuple[float, float]:
    """Return low and high for `Int8` from a sample of its numbers: their range, and half of it more on either side."""
    low, high = float(numbers.min()), float(numbers.max())
    margin = (high - low) / 2 or 1.0
    return round(low - margin, 3), round(high + margin, 3)
