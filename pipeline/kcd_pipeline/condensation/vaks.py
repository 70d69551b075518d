"""VAKS: which knowledge is taught, which is dropped, and which is perturbed by what was dropped.

Value-Adaptive Knowledge Summary, Knowledge Condensation Distillation (ECCV 2022), section 3.3. Letters: N samples,
K kept, L perturbed, B batch, C classes, T temperature.
"""

import dask.array as da
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY
from kcd_pipeline.condensation.ranking.select import Partition, select
from kcd_stores import NO_PARTNER


def partition(
    scores: da.Array, *, keep: int, kept_before: NDArray[np.bool_], dropped: str, memory: int = DEFAULT_MEMORY
) -> Partition:
    """Split by rank: the first `keep` are K1, and the last L of them, as many as are dropped, are K1L.

    Parameters
    ----------
    scores
        `[N]` float64, chunked; -inf where a sample was never visited.
    keep
        |K1|, exact.
    kept_before
        `[N]`: what the stage before was taught on.
    dropped
        `new`: the dropped are those of K0 that the stage before kept (the authors' code); `all`: all of K0.
    memory
        Bytes that the split may take, `kept_before` and the indices that come of it included.

    Notes
    -----
    L = min(|dropped|, |K1|); where more are dropped than kept, the most valuable of them are used.

    Raises
    ------
    ValueError
        If a score is NaN.
    StoreUsageError
        If it cannot be done in `memory`.
    """
    return select(scores, keep=keep, candidate=kept_before if dropped == "new" else None, memory=memory)


def strengths(count: int, epsilon_max: float) -> NDArray[np.float32]:
    """`[L]`: eps of each member of K1L from the top down, linear from 0 to `epsilon_max` (eq. 15)."""
    return np.linspace(0, epsilon_max, count, dtype=np.float32)


def assembled(
    parts: Partition, samples: int, epsilon_max: float | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """`kept[K]`, ascending, and `partner[K]`, `epsilon[K]` of each, as a plan of N `samples` has them.

    Without an `epsilon_max` nothing is blended.
    """
    is_kept = np.zeros(samples, dtype=bool)
    is_kept[parts.high] = True
    is_kept[parts.low] = True
    kept = np.flatnonzero(is_kept)
    partner = np.full(len(kept), NO_PARTNER, dtype=np.int64)
    epsilon = np.zeros(len(kept), dtype=np.float32)
    if epsilon_max is None:
        return kept, partner, epsilon
    place = np.cumsum(is_kept, dtype=parts.low.dtype)[parts.low] - 1  # of each member of K1L in `kept`
    partner[place] = parts.partners
    epsilon[place] = strengths(len(place), epsilon_max)
    return kept, partner, epsilon


def blend(first: Tensor, second: Tensor, epsilon: Tensor, *, space: str, temperature: float) -> Tensor:
    """K1L (+) eps (x) K0 (eq. 14) of logits `first[B, C]`, `second[B, C]` and `epsilon[B]`: logits `[B, C]`.

    In `logits`: `z1 + eps * z0`, a geometric blend of the two distributions. In `probabilities`: the logits whose
    softmax at T is `(p1 + eps * p0) / (1 + eps)`, p being the softmaxes at T. As a `pair`, whose image is blended by
    the same eps: those whose softmax at T is `(1 - eps) * p1 + eps * p0`, 0 <= eps <= 1.
    """
    weight = epsilon[:, None]
    if space == "logits":
        return first + weight * second
    log_first = torch.log_softmax(first / temperature, dim=1)
    log_second = torch.log_softmax(second / temperature, dim=1)
    if space == "pair":
        return temperature * torch.logaddexp(torch.log1p(-weight) + log_first, weight.log() + log_second)
    return temperature * (torch.logaddexp(log_first, weight.log() + log_second) - torch.log1p(weight))


def blend_features(first: Tensor, second: Tensor, epsilon: Tensor, *, space: str) -> Tensor:
    """`blend`, of penultimate features `first[B, D]` and `second[B, D]`: `[B, D]`.

    The last layer being linear, `f1 + eps * f0` are the features whose logits are `z1 + eps * z0`, but for its bias;
    the arithmetic blends are means of the features with the weights of the probabilities.
    """
    weight = epsilon[:, None]
    if space == "logits":
        return first + weight * second
    if space == "pair":
        return torch.lerp(first, second, weight)
    return (first + weight * second) / (1 + weight)


__all__ = ["NO_PARTNER", "Partition", "assembled", "blend", "blend_features", "partition", "strengths"]
