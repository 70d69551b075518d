"""Importance sampling: samples are drawn by value, with replacement, and weighed by what they were likely to be drawn.

It follows Needell, Srebro and Ward, "Stochastic Gradient Descent, Weighted Sampling, and the Randomized Kaczmarz
Algorithm" (NeurIPS 2014): the expected gradient is that of all samples. Letters: N samples, K draws, u share of the
draws that do not look at values, C classes.
"""

import math

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.policies.balance import Classes, balanced_classes
from kcd_pipeline.condensation.policies.draws import draw
from kcd_pipeline.condensation.policies.everything import everything
from kcd_pipeline.condensation.policies.memory import require_memory
from kcd_pipeline.condensation.policies.protocol import Choice, Situation
from kcd_stores.philox import DRAW_STREAM, SHARE_STREAM, philox


def draw_by_value(situation: Situation) -> Choice:
    """Draw K times, sample i with probability p_i; one that is drawn m times is taught once, with weight m / (K * p_i).

    While the schedule keeps all samples, nothing is drawn: all of them are taught, with weight 1.
    """
    if situation.keep == situation.samples:
        return everything(situation)
    require_memory(situation)
    value, classes = situation.value(), balanced_classes(situation)
    probability = probabilities(value, situation.config.uniform, classes)
    drawn = _draw_times(probability, classes, situation)
    kept = np.flatnonzero(drawn)
    weight = drawn[kept] / (situation.keep * probability[kept])
    facts = {"score_cut": None, "never_visited": int(np.count_nonzero(np.isnan(value)))}
    return Choice(kept=kept, weight=weight.astype(np.float32), facts=facts)


def probabilities(value: NDArray[np.float64], uniform: float, classes: Classes) -> NDArray[np.float64]:
    """Return p of each sample, `[N]` float64, above 0: (1-u) * s_i / sum(s) + u / N in one class of all samples.

    s is the value, less the lowest of all if that is below 0; 0 for a sample that was never visited. With several
    classes, each has N_c / N of the probability, and shares it among its samples by the same formula. A class in which
    all s are 0 shares it evenly.
    """
    lowest = np.fmin.reduce(value, initial=0.0)  # passes over NaN
    score = np.where(np.isnan(value), 0.0, value - lowest)
    probability = np.empty(len(value))
    for members in classes.members():
        size, total = len(members), math.fsum(score[members])
        by_value = score[members] / total if total > 0 else 1 / size
        probability[members] = size / len(value) * ((1 - uniform) * by_value + uniform / size)
    return probability


def _draw_times(probability: NDArray[np.float64], classes: Classes, situation: Situation) -> NDArray[np.int64]:
    """Return how often each sample is drawn, `[N]` int64, K times in all."""
    drawn = draw(situation, situation.keep, stream=DRAW_STREAM)
    high, low = philox(situation.seed, (0, situation.stage, 0, SHARE_STREAM))[:2].tolist()
    start = (high << 32 | low) * situation.samples >> 64
    times = np.zeros(situation.samples, dtype=np.int64)
    first = 0
    for members, count in zip(classes.members(), shared_draws(situation.keep, classes, start), strict=True):
        limits = np.cumsum(probability[members])
        place = np.searchsorted(limits, drawn[first : first + count] * limits[-1], side="right")
        # a number just below 1 may be rounded to the last limit
        times[members] = np.bincount(np.minimum(place, len(members) - 1), minlength=len(members))
        first += count
    return times


def shared_draws(draws: int, classes: Classes, start: int) -> list[int]:
    """Return the number of `draws` of each class: draws * N_c / N, rounded down or up such that all add up.

    It is systematic sampling: pieces of length draws * N_c are laid side by side, from `start` on, and a class gets as
    many draws as there are multiples of N in its piece. For a random `start`, 0 to N - 1, that is draws * N_c / N on
    average, exactly.
    """
    samples = len(classes.of)
    ends = [(start + draws * int(end)) // samples for end in np.cumsum(classes.sizes)]
    return [end - before for before, end in zip([0, *ends], ends, strict=False)]
