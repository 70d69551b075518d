"""The scores that a condensation ranks by: OGVE's, or those of an ablation. Letters: N samples."""

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ogve import scores
from kcd_pipeline.config import CondenseConfig
from kcd_stores import ValueStore
from kcd_stores.philox import random_scores


def ranking_scores(values: ValueStore, *, epoch: int, stage: int, config: CondenseConfig, seed: int) -> da.Array:
    """Return the scores `[N]` float64 after `epoch`, lazily: the highest are kept, samples never visited are -inf.

    `keep: most` ranks by `V * F^alpha` (eq. 13), where V is the running mean of eq. 12 or, with `track: latest`, the
    worth at the latest visit. `keep: least` ranks in the opposite direction. `keep: random` draws a score for each
    (seed, stage, sample).
    """
    value, frequency = lazy_values(values, "value", epoch), lazy_values(values, "frequency", epoch)
    if config.keep == "random":
        return _random_scores(frequency, seed, stage)
    if config.track == "latest":
        value = lazy_values(values, "latest", epoch).astype(np.float64)
    by_value = scores(value, frequency, config.alpha)
    return _negated(by_value) if config.keep == "least" else by_value


def lazy_values(values: ValueStore, name: str, epoch: int) -> da.Array:
    """Return `value`, `frequency` or `latest` after `epoch`, `[N]`, lazily in the chunks of `values`."""
    dtype = {"value": np.float64, "frequency": np.int32, "latest": np.float32}[name]

    def read(block_id: tuple[int]) -> NDArray[Any]:
        return values.read_chunk(name, epoch, block_id[0])

    sizes = tuple(values.chunk_sizes())
    result: Any = da.map_blocks(read, chunks=(sizes,), dtype=dtype, meta=np.empty(0, dtype))
    return result


def original_score(score: float, config: CondenseConfig) -> float:
    """Return the score of eq. 13 that became `score` in `ranking_scores`."""
    return -score if config.keep == "least" else score


def _random_scores(frequency: da.Array, seed: int, stage: int) -> da.Array:
    index = da.arange(frequency.size, chunks=frequency.chunks, dtype=np.int64)

    def draw(i: NDArray[np.int64], f: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.where(f > 0, random_scores(seed, stage, i), -np.inf)

    result: Any = da.map_blocks(draw, index, frequency, dtype=np.float64)
    return result


def _negated(by_value: da.Array) -> da.Array:
    """Return negated scores, except that samples never visited keep -inf and so stay last."""
    result: Any = da.map_blocks(lambda score: np.where(np.isneginf(score), score, -score), by_value, dtype=np.float64)
    return result
