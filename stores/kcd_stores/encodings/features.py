"""Penultimate features beside logits: one more array of the same blocks, whatever encoding the logits have.

Letters: V views, N samples, C classes, D features.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.base import ArraySpec, Encoding


@dataclass(frozen=True, kw_only=True)
class WithFeatures:
    """Rows of C logits, then D features.

    features [V, N, D]  float16, or int8 by a public codec as the logits' own int8: zarr alone reads real numbers

    Attributes
    ----------
    logits
        How the logits are laid down.
    of
        How the features are: a dense encoding.
    extra
        D.
    """

    logits: Encoding
    of: Encoding
    extra: int

    @property
    def name(self) -> str:
        return self.logits.name

    def settings(self) -> dict[str, Any]:
        return self.logits.settings()

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        (features,) = self.of.arrays(self.extra)
        return (*self.logits.arrays(classes), replace(features, name="features"))

    def encode(self, logits: NDArray[np.float32], *, view: int, first: int) -> dict[str, NDArray[Any]]:
        """Of rows `[n, C + D]`."""
        classes = logits.shape[1] - self.extra
        parts = self.logits.encode(logits[:, :classes], view=view, first=first)
        try:
            parts["features"] = self.of.encode(logits[:, classes:], view=view, first=first)["logits"]
        except ValueError as error:
            raise ValueError(f"of the features: {error}") from error
        return parts

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        """Rows `[n, C + D]`."""
        return np.concatenate([self.logits.decode(parts, classes), parts["features"]], axis=1)
