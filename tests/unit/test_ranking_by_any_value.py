"""Ranking by values of any sign: each ablation of the ranking keeps what numpy keeps, from the arrays on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kcd_pipeline.condensation import condense
from kcd_pipeline.condensation.scoring import ranking_scores
from kcd_pipeline.config import CondenseConfig
from kcd_stores import ValueStore, keep_all

N, KEPT = 200, 120


@pytest.fixture(scope="module")
def arrays() -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float32]]:
    """Values from -3 to 3 with ties, visits from 0 to 5, and other latest worths."""
    random = np.random.default_rng(7)
    frequency = random.integers(0, 6, N).astype(np.int32)
    value = np.where(frequency > 0, random.integers(-24, 25, N) / 8, np.nan)
    latest = np.where(frequency > 0, random.normal(size=N), np.nan).astype(np.float32)
    return value, frequency, latest


@pytest.mark.parametrize("alpha", [0.0, 0.03, 1.0])
@pytest.mark.parametrize("keep", ["most", "least"])
@pytest.mark.parametrize("track", ["mean", "latest"])
def test_the_samples_kept_are_those_of_numpy(tmp_path: Path, arrays: Any, alpha: float, keep: str, track: str) -> None:
    value, frequency, latest = arrays
    store = ValueStore.create(tmp_path / "values.zarr", epochs=1, samples=N, measure="excess")
    store.write(0, value, frequency, latest)
    config = CondenseConfig.model_validate(
        {"value": "excess", "alpha": alpha, "keep": keep, "track": track, "interval": 1, "keep_ratio": KEPT / N}
    )
    v = value if track == "mean" else latest.astype(np.float64)
    with np.errstate(divide="ignore"):
        score = v * np.where(v < 0, frequency**-alpha, frequency**alpha)
    score = np.where(frequency == 0, -np.inf, -score if keep == "least" else score)
    found = ranking_scores(store, epoch=0, stage=1, config=config, seed=0).compute()
    np.testing.assert_allclose(found, score, rtol=1e-14)
    expected = np.sort(np.argsort(-score, kind="stable")[:KEPT])
    plan = condense(store, before=keep_all(N), stage=1, epochs=2, config=config)
    np.testing.assert_array_equal(plan.kept, expected)
