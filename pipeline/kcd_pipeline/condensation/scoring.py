"""What a condensation ranks by: OGVE's scores, or those of an ablation."""

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ogve import scores
from kcd_pipeline.config import CondenseConfig
from kcd_stores import ValueStore
from kcd_stores.philox import random_scores


def ranked_by(values: ValueStore, *, epoch: int, stage: int, config: CondenseConfig, seed: int) -> da.Array:
    """`[N]` float64, lazily, from the values after `epoch`: the highest are kept, samples never visited are last.

    `keep: most` is `V * F^alpha` (eq. 13), V being the running mean of eq. 12 or, with `value: current`, the entropy at
    the latest visit. `keep: least` is the same ranking from its other end, `keep: random` a draw for each (seed,
    stage, sample).
    """
    value, frequency = lazily(values, "value", epoch), lazily(values, "frequency", epoch)
    if config.keep == "random":
        return _random(frequency, seed, stage)
    if config.value == "current":
        value = lazily(values, "entropy", epoch).astype(np.float64)
    ranked = scores(value, frequency, config.alpha)
    return _reversed(ranked) if config.keep == "least" else ranked


def lazily(values: ValueStore, name: str, epoch: int) -> da.Array:
    """Row `epoch` of an array of `values`, `[N]`, a chunk of it at a time."""
    dtype = {"value": np.float64, "frequency": np.int32, "entropy": np.float32}[name]

    def read(block_id: tuple[int]) -> NDArray[Any]:
        return values.read_chunk(name, epoch, block_id[0])

    sizes = tuple(values.chunk_sizes())
    result: Any = da.map_blocks(read, chunks=(sizes,), dtype=dtype, meta=np.empty(0, dtype))
    return result


def worth(score: float, config: CondenseConfig) -> float:
    """The score of eq. 13 behind one that `ranked_by` gave."""
    return -score if config.keep == "least" else score


def _random(frequency: da.Array, seed: int, stage: int) -> da.Array:
    index = da.arange(frequency.size, chunks=frequency.chunks, dtype=np.int64)

    def draw(i: NDArray[np.int64], f: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.where(f > 0, random_scores(seed, stage, i), -np.inf)

    result: Any = da.map_blocks(draw, index, frequency, dtype=np.float64)
    return result


def _reversed(ranked: da.Array) -> da.Array:
    """Negated, but for samples never visited, which stay last."""
    result: Any = da.map_blocks(lambda score: np.where(np.isneginf(score), score, -score), ranked, dtype=np.float64)
    return result
