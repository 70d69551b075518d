"""The scores that a condensation ranks by: OGVE's, or those of an ablation. Letters: N samples."""

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ogve import scores
from kcd_pipeline.config import CondenseConfig
from kcd_stores import ValueStore
from kcd_stores.philox import RANK_STREAM, TIE_STREAM, random_scores

# Values that many samples share. By index, ties would drop the last classes first: folders are sorted by class.
COUNTED = ("forgetting", "disagreement")
TIE = 1e-6  # all that a draw adds to a score; scores of different counts differ by more


def ranking_scores(values: ValueStore, *, epoch: int, stage: int, config: CondenseConfig, seed: int) -> da.Array:
    """Return the scores `[N]` float64 after `epoch`, lazily: the highest are kept, samples never visited are -inf.

    `keep: most` ranks by `V * F^alpha` (eq. 13), where V is the running mean of eq. 12 or, with `track: latest`, the
    worth at the latest visit. `keep: least` ranks in the opposite direction. `keep: random` draws a score for each
    (seed, stage, sample). Values that are counted (`COUNTED`) have many ties, which such a draw breaks, too.
    """
    value, frequency = lazy_values(values, "value", epoch), lazy_values(values, "frequency", epoch)
    if config.keep == "random":
        return _random_scores(frequency, seed, stage)
    if config.track == "latest":
        value = lazy_values(values, "latest", epoch).astype(np.float64)
    by_value = scores(value, frequency, config.alpha)
    if config.value in COUNTED:
        by_value = by_value + TIE * _draw(frequency, seed, stage, TIE_STREAM)
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
    return da.where(frequency > 0, _draw(frequency, seed, stage, RANK_STREAM), -np.inf)


def _draw(like: da.Array, seed: int, stage: int, stream: int) -> da.Array:
    """Return a random number in [0, 1) for each sample, lazily, in the chunks of `like[N]`."""
    index = da.arange(like.size, chunks=like.chunks, dtype=np.int64)
    result: Any = da.map_blocks(lambda i: random_scores(seed, stage, i, stream=stream), index, dtype=np.float64)
    return result


def _negated(by_value: da.Array) -> da.Array:
    """Return negated scores, except that samples never visited keep -inf and so stay last."""
    result: Any = da.map_blocks(lambda score: np.where(np.isneginf(score), score, -score), by_value, dtype=np.float64)
    return result
