"""InfoBatch: samples of low value are left out at random, and those of them that stay count for more.

Qin et al., "InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning" (ICLR 2024). Letters: N samples, K
kept, C classes.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.policies.balance import Classes, balanced_classes, places_within
from kcd_pipeline.condensation.policies.draws import draw
from kcd_pipeline.condensation.policies.everything import everything, is_finish
from kcd_pipeline.condensation.policies.memory import require_memory
from kcd_pipeline.condensation.policies.protocol import Choice, Situation, as_fact
from kcd_stores.philox import PRUNE_STREAM


def leave_out_at_random(situation: Situation) -> Choice:
    """Leave out samples valued below the mean, each with probability r = `condense.prune`; weigh the rest of them.

    Those that stay have the weight 1/(1-r) and all others 1, so that the expected gradient is that of all samples. The
    finish is taught all of them.
    """
    if is_finish(situation):
        return everything(situation)
    require_memory(situation)
    value, prune = situation.value(), situation.config.prune
    threshold = _threshold(value)
    low = value < threshold  # False for NaN: a sample that was never visited stays
    drawn = draw(situation, situation.samples, stream=PRUNE_STREAM)
    if situation.config.balance == "class":
        out, weight = _pruned_by_class(value, int(low.sum()), drawn, balanced_classes(situation), prune)
    else:
        out, weight = low & (drawn < prune), np.where(low, 1 / (1 - prune), 1.0)
    kept = np.flatnonzero(~out)
    facts = {"score_cut": as_fact(threshold), "never_visited": int(np.count_nonzero(np.isnan(value)))}
    return Choice(kept=kept, weight=weight[kept].astype(np.float32), facts=facts)


def _threshold(value: NDArray[np.float64]) -> float:
    """Return the mean of the values of visited samples; it is rounded once, so their order does not matter.

    Raises
    ------
    ValueError
        If no sample was ever visited.
    """
    visited = value[~np.isnan(value)]
    if not len(visited):
        raise ValueError("no sample was ever visited, so there is no mean of their values")
    # the mean of equal values may be rounded to more than each of them
    return min(math.fsum(visited) / len(visited), float(visited.max()))


def _pruned_by_class(
    value: NDArray[np.float64], low: int, drawn: NDArray[np.float64], classes: Classes, prune: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Leave out the same share of each class: floor(r * n_c) of its n_c lowest valued, where n_c is its share of `low`.

    Returns
    -------
    out
        `[N]` bool: which samples are left out.
    weight
        `[N]` float64: n_c / (n_c - left out) for the lowest valued of a class, which is the reciprocal of the
        probability that each of them stays; 1 for others.
    """
    visited = np.bincount(classes.of[~np.isnan(value)], minlength=len(classes.sizes))
    low_of = np.minimum(classes.floors(low), visited)
    rate = Fraction(str(prune))  # the decimal as it was written, not the nearest binary number
    out_of = np.array([int(rate * count) for count in low_of.tolist()])
    by_value = np.argsort(value, kind="stable")  # NaN comes last
    lowest = by_value[_first_of_classes(by_value, low_of, classes)]
    at_random = lowest[np.lexsort((lowest, drawn[lowest]))]
    out = np.zeros(len(value), dtype=bool)
    out[at_random[_first_of_classes(at_random, out_of, classes)]] = True
    weight = np.ones(len(value))
    weight[lowest] = (low_of / np.maximum(low_of - out_of, 1))[classes.of[lowest]]
    return out, weight


def _first_of_classes(order: NDArray[np.int64], counts: NDArray[np.int64], classes: Classes) -> NDArray[np.bool_]:
    """Return which samples of `order[n]` are among the first `counts[C]` of their class, `[n]` bool."""
    of = classes.of[order]
    first: NDArray[np.bool_] = places_within(of) < counts[of]
    return first
