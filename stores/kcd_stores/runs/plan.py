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

NO_PARTNER = -1
LARGEST_FACT = 1e100  # of the counts and scores of a plan: V * F^10 of any V in float32, after 100,000 visits, is less


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The samples that one stage is taught, their blends and their weights; validated when made.

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
            object.__setattr__(self, "weight", np.ones(self.kept.shape, np.float32))
        kept, partner, epsilon, weight = self.kept, self.partner, self.epsilon, self.weight
        shapes = [array.shape for array in (kept, partner, epsilon, weight)]
        if len(set(shapes)) > 1 or kept.ndim != 1 or not len(kept):
            raise ValueError(f"a plan's arrays differ: {', '.join(map(str, shapes))}")
        if kept[0] < 0 or kept[-1] >= self.samples or (kept[1:] <= kept[:-1]).any():
            raise ValueError(f"kept must be ascending indices below {self.samples}")
        blended = partner != NO_PARTNER
        partners = partner[blended]
        if len(partners) and (partners.min() < 0 or partners.max() >= self.samples):
            raise ValueError(f"partners must be indices below {self.samples}")
        taken = np.zeros(self.samples, dtype=bool)
        taken[kept] = True
        if taken[partners].any():
            raise ValueError("a partner must be a dropped sample, not a kept one")
        taken[partners] = True
        if np.count_nonzero(taken) != len(kept) + len(partners):
            raise ValueError("a dropped sample is the partner of at most one kept sample")
        if ((epsilon != 0) & ~blended).any() or not ((epsilon >= 0) & np.isfinite(epsilon)).all():
            raise ValueError("epsilon must be 0 where nothing is blended, and finite and never negative")
        if not ((weight > 0) & np.isfinite(weight)).all():
            raise ValueError("weights must be finite and above 0")

    @property
    def low(self) -> NDArray[np.bool_]:
        """`[K]` bool: True for members of K1L (blended with a partner), False for those of K1H (taught as stored)."""
        return self.partner != NO_PARTNER

    @property
    def weighted(self) -> bool:
        """True if some weight differs from 1."""
        return bool((self.weight != 1).any())

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all that decides what a student is taught: stage, epoch, samples, blends and weights.

        Weights that are all 1 leave it as it was before plans had weights.
        """
        digest = hashlib.sha256(repr((self.stage, self.epoch, self.samples, len(self.kept))).encode())
        arrays = [(self.kept, "<i8"), (self.partner, "<i8"), (self.epsilon, "<f4")]
        for array, dtype in [*arrays, (self.weight, "<f4")] if self.weighted else arrays:
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
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


def keep_all(samples: int, stage: int = 0, epoch: int = 0) -> Plan:
    """Return the plan that teaches all samples as stored, as the first stage is, and a run that does not condense."""
    return Plan(
        stage=stage,
        epoch=epoch,
        samples=samples,
        kept=np.arange(samples, dtype=np.int64),
        partner=np.full(samples, NO_PARTNER, dtype=np.int64),
        epsilon=np.zeros(samples, dtype=np.float32),
    )
