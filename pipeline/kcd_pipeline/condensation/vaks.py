"""VAKS: which knowledge is taught as stored, which is dropped, and which is perturbed by what was dropped.

Value-Adaptive Knowledge Summary, Knowledge Condensation Distillation (ECCV 2022), section 3.3. K1 is kept, K0 dropped;
K1L is the lowest-ranked part of K1, K1H the rest. Letters: N samples, K kept, L perturbed, B batch, C classes, D
features, T temperature.
"""

import dask.array as da
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY
from kcd_pipeline.condensation.ranking.select import Partition, select
from kcd_stores import NO_PARTNER
from kcd_stores.scratch import IN_MEMORY, Scratch, constant, pieces


def partition(
    scores: da.Array,
    *,
    keep: int,
    kept_before: NDArray[np.bool_],
    dropped: str,
    memory: int = DEFAULT_MEMORY,
    scratch: Scratch = IN_MEMORY,
) -> Partition:
    """Split samples by rank (eq. 8): the first K are K1, and the last L of these are K1L.

    Parameters
    ----------
    scores
        `[N]` float64, chunked; -inf for samples never visited.
    keep
        K, exactly; `tau * N` in the paper.
    kept_before
        `[N]` bool: the samples that the stage before kept.
    dropped
        Which of K0 are blended into K1L. `released`: the ranks directly below the cut, as many as K is less than the
        stage before kept, as the authors' code has it. `new`: those that the stage before kept. `all`: all of K0, as
        the paper's text has it.
    memory
        Bytes that the split may take, including `kept_before` and the indices that are returned.
    scratch
        Place of marks and indices; those that are in files take none of these bytes.

    Notes
    -----
    L = min(number of samples that may be blended, K). If there are more than K of them, the most valuable are used.
    `released` and `new` are equal until a sample that the stage before dropped comes back. Each that does adds one to
    what `new` blends; `released` blends as many as before, some of which may have been dropped before.

    Raises
    ------
    ValueError
        If a score is NaN.
    StoreUsageError
        If it does not fit in `memory`.
    """
    if dropped == "released":
        fewer = max(int(np.count_nonzero(kept_before)) - keep, 0)
        return select(scores, keep=keep, candidate=None, most=fewer, memory=memory, scratch=scratch)
    candidate = kept_before if dropped == "new" else None
    return select(scores, keep=keep, candidate=candidate, memory=memory, scratch=scratch)


def strengths(count: int, epsilon_max: float, ramp: str, part: slice | None = None) -> NDArray[np.float32]:
    """Return eps of each of the L = `count` members of K1L from the top: `[L]`, linear from 0 (eq. 15).

    Of a `part` of them, it is that part of the numbers.

    `ramp: linear` is `epsilon_max * j / (L - 1)`, which ends at `epsilon_max`. `released` is `epsilon_max * j / L`, as
    the authors' code has it, which ends one step below.
    """
    part = part or slice(0, count)
    ends, steps = ramp == "linear", max(count - 1 if ramp == "linear" else count, 1)
    found = (np.arange(part.start, part.stop, dtype=np.float64) * (epsilon_max / steps)).astype(np.float32)
    if ends and 1 < count == part.stop:
        found[-1] = epsilon_max  # what is computed may be rounded to less
    return found


def plan_arrays(
    parts: Partition, samples: int, epsilon_max: float | None, ramp: str, scratch: Scratch = IN_MEMORY
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the arrays of a plan of N `samples`: K1 with the partner and strength of each member (eq. 11, 14).

    They are arrays of `scratch`.

    Parameters
    ----------
    epsilon_max
        Strength at the end of the ramp; None to blend nothing.
    ramp
        As in `strengths`.

    Returns
    -------
    kept
        `[K]` int64, ascending.
    partner
        `[K]` int64: the sample of K0 that is blended into each; `NO_PARTNER` in K1H.
    epsilon
        `[K]` float32; 0 in K1H.
    """
    is_kept = scratch.full(samples, np.bool_, False)
    for members in (parts.high, parts.low):
        for piece in pieces(len(members)):
            is_kept[members[piece]] = True
    size, low = len(parts.high) + len(parts.low), len(parts.low)
    kept: NDArray[np.int64] = scratch.empty(size, np.int64)
    place = scratch.empty(samples if low else 0, parts.low.dtype)  # in `kept`, of each sample that is there
    done = 0
    for piece in pieces(samples):
        found = np.flatnonzero(is_kept[piece])
        kept[done : done + len(found)] = found + piece.start
        if low:
            np.cumsum(is_kept[piece], dtype=place.dtype, out=place[piece])
            place[piece] += done - 1
        done += len(found)
    if epsilon_max is None or not low:
        return kept, constant(size, NO_PARTNER, np.int64), constant(size, 0, np.float32)
    partner, epsilon = scratch.full(size, np.int64, NO_PARTNER), scratch.full(size, np.float32, 0)
    for piece in pieces(low):
        at = place[parts.low[piece]]
        partner[at] = parts.partners[piece]
        epsilon[at] = strengths(low, epsilon_max, ramp, piece)
    return kept, partner, epsilon


def blend(first: Tensor, second: Tensor, epsilon: Tensor, *, space: str, temperature: float) -> Tensor:
    """Return K1L (+) eps (x) K0 (eq. 14) of logits `first[B, C]`, `second[B, C]` and `epsilon[B]`: logits `[B, C]`.

    Parameters
    ----------
    space
        `logits`: `z1 + eps * z0`, a geometric blend of the two distributions.
        `probabilities`: logits whose softmax at T is `(p1 + eps * p0) / (1 + eps)`, of softmaxes p at T.
        `pair`, for images blended with the same eps: logits whose softmax at T is `(1 - eps) * p1 + eps * p0`; needs
        0 <= eps <= 1.
    temperature
        T; not used in `logits`.
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
    """Return the blend of penultimate features `first[B, D]` and `second[B, D]` that goes with `blend`: `[B, D]`.

    In `logits` it is `f1 + eps * f0`: the last layer is linear, so their logits are `z1 + eps * z0`, apart from its
    bias. In the other spaces it is the mean of the features with the weights of the probabilities.
    """
    weight = epsilon[:, None]
    if space == "logits":
        return first + weight * second
    if space == "pair":
        return torch.lerp(first, second, weight)
    return (first + weight * second) / (1 + weight)
