"""Penultimate features beside logits, or alone: one more array in the same blocks, whatever encoding the logits have.

Letters: V views, N samples, C classes, D features, n rows of one block.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.protocol import ArraySpec, Encoding
from kcd_stores.errors import OutOfRangeError


@dataclass(frozen=True, kw_only=True)
class NoLogits:
    """Encoding `none`: rows of no logits, of a store that holds features alone. It has no array."""

    name = "none"
    feature_columns = 0

    def settings(self) -> dict[str, Any]:
        return {}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if classes:
            raise ValueError(f"a store without logits has 0 classes, got {classes}")
        return ()

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        return {}

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        return np.empty((0, 0), np.float16)  # there is nothing to decode: `WithFeatures` returns its features alone


@dataclass(frozen=True, kw_only=True)
class WithFeatures:
    """Encoding of rows of C logits and D features. It adds one array to those of the logits:

    features [V, N, D]  float16, or uint8 with `scale_factor` and `add_offset` in its attributes, as logits of `int8`

    Attributes
    ----------
    logit_encoding
        The encoding of the logits.
    feature_encoding
        The encoding of the features, a dense one.
    feature_columns
        D.
    """

    logit_encoding: Encoding
    feature_encoding: Encoding
    feature_columns: int

    @property
    def name(self) -> str:
        return self.logit_encoding.name

    def settings(self) -> dict[str, Any]:
        return self.logit_encoding.settings()

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        (features,) = self.feature_encoding.arrays(self.feature_columns)
        return (*self.logit_encoding.arrays(classes), replace(features, name="features"))

    def encode(self, rows: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        """Encode `rows[n, C + D]`; see `Encoding.encode`."""
        classes = rows.shape[1] - self.feature_columns
        parts = self.logit_encoding.encode(rows[:, :classes], view=view, first=first)
        try:
            parts["features"] = self.feature_encoding.encode(rows[:, classes:], view=view, first=first)["logits"]
        except OutOfRangeError as error:
            raise OutOfRangeError(f"of the features: {error}") from error
        return parts

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        """Return the rows `[n, C + D]`; `[n, D]` of a store without logits."""
        features = self.feature_encoding.decode({"logits": parts["features"]}, self.feature_columns)
        if not classes:
            return features
        return np.concatenate([self.logit_encoding.decode(parts, classes), features], axis=1)
