"""OGVE: the value of a sample to the student, the running mean of its worth over the visits, and the score by it.

Online Global Value Estimation, Knowledge Condensation Distillation (ECCV 2022), section 3.2. Letters: N samples, n
samples visited; V value, F frequency, H worth at one visit: in the paper, the entropy of the student's prediction.
"""

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_stores.scratch import IN_MEMORY, Scratch


def new_values(samples: int, scratch: Scratch = IN_MEMORY) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return `V[N]` float64 and `F[N]` int32 before any training: NaN (never visited) and 0."""
    return scratch.full(samples, np.float64, np.nan), scratch.full(samples, np.int32, 0)


def update_values(
    value: NDArray[np.float64],
    frequency: NDArray[np.int32],
    index: NDArray[np.int64],
    worth: NDArray[np.float32],
) -> None:
    """Record one visit of each sample of `index[n]` with its `worth[n]` H (eq. 7), in place in `V[N]` and `F[N]`.

    `F += 1`, then `V <- (F - 1) / F * V + H / F` (eq. 12), the running mean of H in float64. It is computed as
    `V + (H - V) / F`, which is equal and stays exact while H does not change. A sample may occur once in `index`.

    Raises
    ------
    ValueError
        If a worth is not finite: no ranking could be trusted.
    """
    if not np.isfinite(worth).all():
        bad = int(np.argmin(np.isfinite(worth)))
        raise ValueError(f"the worth of sample {index[bad]} is {worth[bad]}")
    frequency[index] += 1
    visits = frequency[index].astype(np.float64)
    before = np.where(visits == 1, 0.0, value[index])
    value[index] = before + (worth - before) / visits


def scores(value: da.Array, frequency: da.Array, alpha: float) -> da.Array:
    """Return the scores `V * F^alpha` (eq. 13) of `V[N]` float64 and `F[N]` int32, lazily: `[N]` float64.

    The paper's V is an entropy, never below 0. Where V is negative, as some values are, the score is `V * F^-alpha`, so
    that a visit more raises or lowers the score as it does for the others. A sample that was never visited scores
    -inf, and so ranks last.

    Raises
    ------
    ValueError
        When the scores are computed, if a frequency is negative: its epoch was never written.
    """

    def score(v: NDArray[np.float64], f: NDArray[np.int32]) -> NDArray[np.float64]:
        if f.min(initial=0) < 0:
            raise ValueError("the frequencies are those of an epoch that was never written")
        score = _frequency_power(f, alpha)
        negative = v < 0
        if negative.any():
            np.reciprocal(score, out=score, where=negative)
        score *= v
        np.putmask(score, f == 0, -np.inf)
        return score

    result: Any = da.map_blocks(score, value, frequency, dtype=np.float64, meta=np.empty(0))
    return result


def _frequency_power(frequency: NDArray[np.int32], alpha: float) -> NDArray[np.float64]:
    """Return `F^alpha` as float64, 1 where F is 0.

    Frequencies are usually few and small numbers, so each power is computed once and looked up.
    """
    largest = int(frequency.max(initial=0))
    if largest > len(frequency):
        return np.power(np.maximum(frequency, 1).astype(np.float64), alpha)
    table = np.power(np.maximum(np.arange(largest + 1), 1).astype(np.float64), alpha)
    return table.take(frequency, mode="clip")  # all are in range; with clip, numpy need not check each
