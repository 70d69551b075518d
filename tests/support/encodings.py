"""Settings of encodings that are fitted to rows."""

from typing import Any

import numpy as np

from kcd_stores import fitted_pca


def pca_settings(classes: int, *, components: int = 2, k: int = 1) -> dict[str, Any]:
    """Return settings of `pca` that fit normal noise of deviation 4, and rows of one number between -40 and 40."""
    noise = np.random.default_rng(9).normal(0, 4, (500, classes))
    rows = np.concatenate([noise, np.full((1, classes), -40), np.full((1, classes), 40)])
    return fitted_pca(rows.astype(np.float32), components=components, k=k).settings()
