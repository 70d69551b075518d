"""VAKS: which knowledge is taught, which is dropped, and which is perturbed by what was dropped.

Value-Adaptive Knowledge Summary, Knowledge Condensation Distillation (ECCV 2022), section 3.3. Letters: N samples,
K kept, L perturbed, B batch, C classes, T temperature.
"""

from dataclasses import dataclass

import dask.array as da
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.ranking import find_cut, in_order, members
from kcd_stores import NO_PARTNER


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """K1H, K1L and the dropped samples that K1L is paired with.

    Attributes
    ----------
    high
        K1H, ascending indices.
    low
        `[L]`: K1L, by descending rank (the most valuable first).
    partners
        `[L]`: of the dropped candidates the L most valuable, by descending rank.
    score_cut
        The score of the last sample that is kept.
    """

    high: NDArray[np.int64]
    low: NDArray[np.int64]
    partners: NDArray[np.int64]
    score_cut: float


def partition(scores: da.Array, *, keep: int, kept_before: NDArray[np.bool_], dropped: str) -> Partition:
    """Split by rank: the first `keep` are K1, and the last L of them, as many as are dropped, are K1L.

    Parameters
    ----------
    scores
        `[N]` float64, chunked.
    keep
        |K1|, exact.
    kept_before
        `[N]`: what the stage before was taught on.
    dropped
        `new`: the dropped are those of K0 that the stage before kept (the authors' code); `all`: all of K0.

    Notes
    -----
    L = min(|dropped|, |K1|); where more are dropped than kept, the most valuable of them are used.
    """
    cut = find_cut(scores, keep)
    kept = members(scores, cut)
    out = ~kept & kept_before if dropped == "new" else ~kept
    count = min(int(out.sum()), keep)
    lowest = kept & ~members(scores, find_cut(scores, keep - count)) if count < keep else kept
    if not count:
        lowest = np.zeros_like(kept)
    return Partition(
        high=np.flatnonzero(kept & ~lowest),
        low=_ordered(scores, lowest),
        partners=_ordered(scores, out)[:count],
        score_cut=_lowest_score(scores, kept),
    )


def strengths(count: int, epsilon_max: float) -> NDArray[np.float32]:
    """`[L]`: eps of each member of K1L from the top down, linear from 0 to `epsilon_max` (eq. 15)."""
    return np.linspace(0, epsilon_max, count, dtype=np.float32)


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


def _ordered(scores: da.Array, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The members of `mask[N]` by descending score."""
    index = np.flatnonzero(mask)
    return in_order(index, np.asarray(scores[mask].compute())) if len(index) else index


def _lowest_score(scores: da.Array, mask: NDArray[np.bool_]) -> float:
    return float(da.where(mask, scores, np.inf).min().compute())


__all__ = ["NO_PARTNER", "Partition", "blend", "partition", "strengths"]
