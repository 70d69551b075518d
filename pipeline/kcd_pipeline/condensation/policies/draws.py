"""Random numbers of a stage: pure functions of seed, stage and what they are drawn for. Letters: N samples."""

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.policies.protocol import Situation
from kcd_stores.philox import random_scores

BLOCK = 1 << 15  # drawn at a time: while it is computed, a draw takes more than the arrays of a sample


def draw(situation: Situation, count: int, *, stream: int) -> NDArray[np.float64]:
    """Return a random number for each of 0 to `count` - 1, `[count]` float64 in [0, 1).

    Parameters
    ----------
    stream
        What it is drawn for, one of the constants of `kcd_stores.philox`.
    """
    drawn = np.empty(count)
    for first in range(0, count, BLOCK):
        index = np.arange(first, min(first + BLOCK, count), dtype=np.int64)
        drawn[first : first + BLOCK] = random_scores(situation.seed, situation.stage, index, stream=stream)
    return drawn
