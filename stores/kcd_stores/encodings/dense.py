"""Dense encodings: every logit is kept, in a dtype and a chain of public codecs, so `zarr.open` alone reads logits."""

from dataclasses import dataclass
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs.numcodecs import BitRound, FixedScaleOffset

from kcd_stores.encodings.base import ArraySpec, out_of_range

LEVELS = 255  # steps of int8 between its low and its high


class Dense:
    """What the dense encodings share: one array `logits[V, N, C]` that reads as what it means."""

    name: str
    extra = 0

    def settings(self) -> dict[str, Any]:
        return {}

    def spec(self, classes: int, dtype: str, **more: Any) -> ArraySpec:
        kind = np.dtype(dtype)
        settings = {"packed": kind.itemsize, **more}
        return ArraySpec(name="logits", dtype=kind, width=(classes,), fill=float("nan"), **settings)

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        return parts["logits"]


@dataclass(frozen=True)
class Float(Dense):
    """`float32`: as the teacher said it. `float16`: rounded to 11 significant bits."""

    name: str

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        return (self.spec(classes, self.name),)

    def encode(self, logits: NDArray[np.float32], *, view: int, first: int) -> dict[str, NDArray[Any]]:
        largest = float(np.finfo(self.name).max)
        if wrong := out_of_range(logits, -largest, largest):
            raise ValueError(f"{wrong}, all that {self.name} holds; use store.encoding float32")
        return {"logits": logits.astype(self.name)}


@dataclass(frozen=True, kw_only=True)
class BitRounded(Dense):
    """`bitround`: float32 with `keep_bits` bits of mantissa, the rest zero, which zstd then takes out.

    The relative error is at most `2**-(keep_bits + 1)` (Klöwer et al. 2021).
    """

    keep_bits: int = 7
    name = "bitround"

    def settings(self) -> dict[str, Any]:
        return {"keep_bits": self.keep_bits}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if not 1 <= self.keep_bits <= 23:
            raise ValueError(f"bitround keeps 1 to 23 bits of mantissa, got keep_bits {self.keep_bits}")
        rounding = numcodecs.BitRound(keepbits=self.keep_bits)
        return (self.spec(classes, "float32", filters=(BitRound(keepbits=self.keep_bits),), rounding=rounding),)

    def encode(self, logits: NDArray[np.float32], *, view: int, first: int) -> dict[str, NDArray[Any]]:
        return {"logits": logits}


@dataclass(frozen=True, kw_only=True)
class Int8(Dense):
    """`int8`: 256 even steps from `low` to `high`; the error is at most half a step, `(high - low) / 510`.

    Nothing is clipped: a logit outside is refused.
    """

    low: float
    high: float
    name = "int8"

    def settings(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if not self.low < self.high:
            raise ValueError(f"int8 needs low < high, got {self.low} and {self.high}")
        scale = LEVELS / (self.high - self.low)
        settings: dict[str, Any] = {"offset": self.low, "scale": scale, "dtype": "<f4", "astype": "|u1"}
        rounding = numcodecs.FixedScaleOffset(**settings)
        table = rounding.decode(np.arange(LEVELS + 1, dtype=np.uint8))
        more = {"packed": 1, "filters": (FixedScaleOffset(**settings),), "rounding": rounding, "table": table}
        return (self.spec(classes, "float32", **more),)

    def encode(self, logits: NDArray[np.float32], *, view: int, first: int) -> dict[str, NDArray[Any]]:
        if wrong := out_of_range(logits, self.low, self.high):
            raise ValueError(
                f"{wrong}, the range of this int8 store, and nothing is clipped; extract it anew with a wider "
                f"store.int8_range, or use store.encoding float16"
            )
        return {"logits": logits}


def widened_range(logits: NDArray[np.float32]) -> tuple[float, float]:
    """Low and high for `Int8` from a sample of logits: what was seen, and half of it more on either side."""
    low, high = float(logits.min()), float(logits.max())
    margin = (high - low) / 2 or 1.0
    return round(low - margin, 3), round(high + margin, 3)
