"""Settings of encodings that are fitted to rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores import fitted_pca, fitted_pq


def pca_settings(classes: int, *, components: int = 2, k: int = 1) -> dict[str, Any]:
    """Return settings of `pca` that fit normal noise of deviation 4, and rows of one number between -40 and 40."""
    return fitted_pca(_noise(classes), components=components, k=k).settings()


def pq_settings(classes: int, *, code_bytes: int = 2, k: int = 1) -> dict[str, Any]:
    """Return settings of `pq` that fit normal noise of deviation 4, and rows of one number between -40 and 40."""
    return fitted_pq(_noise(classes), code_bytes=code_bytes, k=k).settings()


def _noise(classes: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(9).normal(0, 4, (500, classes))
    return np.concatenate([noise, np.full((1, classes), -40), np.full((1, classes), 40)]).astype(np.float32)
