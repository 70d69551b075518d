"""A plan: the samples that one stage of a run is taught, how they are blended, and the weights of their losses.

Letters: N samples, K kept samples.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.scratch import IN_MEMORY, Scratch, constant, different, pieces

NO_PARTNER = -1
LARGEST_FACT = 1e100  # of the counts and scores of a plan: V * F^10 of any V in float32, after 100,000 visits, is less
MARKED = 1 << 26  # samples that are marked at a time, to find those that are taken twice


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The samples that one stage is taught, their blends and their weights; validated when made.

    Its arrays may be mapped files, larger than memory: they are looked at piece by piece.

    A kept sample i with a partner j is taught the blend of their knowledge (equations 14 and 15 of "Knowledge
    Condensation Distillation", ECCV 2022): the stored row of i, perturbed by that of j with strength epsilon.

    Attributes
    ----------
    stage, epoch
        The stage, from 0, and its first epoch.
    samples
        N, the size of the data set.
    kept
        `[K]` int64, ascending: the samples of K1, which are taught.
    partner
        `[K]` int64: for members of K1L the sample of K0 that is blended into them, else `NO_PARTNER`.
    epsilon
        `[K]` float32, at least 0: the strength of the blend, 0 without a partner.
    weight
        `[K]` float32, above 0: the factor of each sample's loss; 1 unless the plan's policy rescales losses.
    facts
        Numbers about the making of the plan, for people. Training never reads them.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, a sample is both kept and a partner, or a partner of two samples, or a
        strength or weight is not possible.
    """

    stage: int
    epoch: int
    samples: int
    kept: NDArray[np.int64]
    partner: NDArray[np.int64]
    epsilon: NDArray[np.float32]
    weight: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]  # ones, from __post_init__ on
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weight is None:
            object.__setattr__(self, "weight", constant(len(self.kept), 1, np.float32))
        kept, partner, epsilon, weight = self.kept, self.partner, self.epsilon, self.weight
        shapes = [array.shape for array in (kept, partner, epsilon, weight)]
        if len(set(shapes)) > 1 or kept.ndim != 1 or not len(kept):
            raise ValueError(f"a plan's arrays differ: {', '.join(map(str, shapes))}")
        if kept[0] < 0 or kept[-1] >= self.samples or not is_ascending(kept):
            raise ValueError(f"kept must be ascending indices below {self.samples}")
        _require_partners(kept, partner, self.samples)
        for piece in pieces(len(different(epsilon))):
            strength = epsilon[piece]
            blended = partner[piece] != NO_PARTNER
            if ((strength != 0) & ~blended).any() or not ((strength >= 0) & np.isfinite(strength)).all():
                raise ValueError("epsilon must be 0 where nothing is blended, and finite and never negative")
        for piece in pieces(len(different(weight))):
            if not ((weight[piece] > 0) & np.isfinite(weight[piece])).all():
                raise ValueError("weights must be finite and above 0")

    @property
    def low(self) -> NDArray[np.bool_]:
        """`[K]` bool: True for members of K1L (blended with a partner), False for those of K1H (taught as stored)."""
        return self.partner != NO_PARTNER

    @property
    def weighted(self) -> bool:
        """True if some weight differs from 1."""
        weight = different(self.weight)
        return any(bool((weight[piece] != 1).any()) for piece in pieces(len(weight)))

    @property
    def blends(self) -> bool:
        """True if some strength is above 0."""
        epsilon = different(self.epsilon)
        return any(bool(epsilon[piece].any()) for piece in pieces(len(epsilon)))

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all that decides what a student is taught: stage, epoch, samples, blends and weights.

        Weights that are all 1 leave it as it was before plans had weights.
        """
        digest = hashlib.sha256(repr((self.stage, self.epoch, self.samples, len(self.kept))).encode())
        arrays: list[tuple[NDArray[Any], str]] = [(self.kept, "<i8"), (self.partner, "<i8"), (self.epsilon, "<f4")]
        for array, dtype in [*arrays, (self.weight, "<f4")] if self.weighted else arrays:
            for piece in pieces(len(array)):
                digest.update(np.ascontiguousarray(array[piece], dtype=dtype).data)
        return digest.hexdigest()

    @property
    def checksum(self) -> str:
        """SHA-256, in hex, of the plan and its facts."""
        facts = json.dumps(dict(self.facts), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(f"{self.digest} {facts}".encode()).hexdigest()

    @property
    def kept_fraction(self) -> float:
        """The share of samples that are taught, |K1| / N."""
        return len(self.kept) / self.samples


def keep_all(samples: int, stage: int = 0, epoch: int = 0, scratch: Scratch = IN_MEMORY) -> Plan:
    """Return the plan that teaches all samples as stored, as the first stage is, and a run that does not condense."""
    return Plan(
        stage=stage,
        epoch=epoch,
        samples=samples,
        kept=scratch.counted(samples),
        partner=constant(samples, NO_PARTNER, np.int64),
        epsilon=constant(samples, 0, np.float32),
    )


def is_ascending(kept: NDArray[np.int64]) -> bool:
    """Return True if each of `kept[K]` is larger than the one before it."""
    return all((kept[piece.start + 1 : piece.stop + 1] > kept[piece]).all() for piece in pieces(len(kept) - 1))


def _require_partners(kept: NDArray[np.int64], partner: NDArray[np.int64], samples: int) -> None:
    """Raise ValueError unless each partner `[K]` is a sample that is not in `kept[K]`, and no other's partner."""
    partner = different(partner)
    blended = 0
    for piece in pieces(len(partner)):
        partners = partner[piece][partner[piece] != NO_PARTNER]
        if len(partners) and (partners.min() < 0 or partners.max() >= samples):
            raise ValueError(f"partners must be indices below {samples}")
        blended += len(partners)
    for first in range(0, samples if blended else 0, MARKED):
        taken = np.zeros(min(MARKED, samples - first), np.uint8)  # 1: kept; 2: a partner
        start, stop = np.searchsorted(kept, [first, first + len(taken)]).tolist()
        for piece in pieces(stop - start):
            taken[kept[start + piece.start : start + piece.stop] - first] = 1
        seen = stop - start
        for piece in pieces(len(partner)):
            partners = partner[piece][partner[piece] != NO_PARTNER] - first
            if samples > MARKED:
                partners = partners[(partners >= 0) & (partners < len(taken))]
            if (taken[partners] == 1).any():
                raise ValueError("a partner must be a dropped sample, not a kept one")
            taken[partners] = 2
            seen += len(partners)
        if np.count_nonzero(taken) != seen:
            raise ValueError("a dropped sample is the partner of at most one kept sample")
