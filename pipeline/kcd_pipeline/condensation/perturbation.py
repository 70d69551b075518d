"""A plan's perturbations, looked up by sample: the one source for blending knowledge and, in pair mode, images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_stores import NO_PARTNER, Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchBlend:
    """The b members of a batch that are blended.

    Attributes
    ----------
    places
        `[b]` int64: their places in the batch.
    partners
        `[b]` int64: the sample that is blended into each.
    epsilon
        `[b]` float32: strength of each blend, above 0.
    """

    places: NDArray[np.int64]
    partners: NDArray[np.int64]
    epsilon: NDArray[np.float32]


class Perturbation:
    """Partner and strength of each of the N samples of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._partner = np.full(plan.samples, NO_PARTNER, dtype=np.int64)
        self._epsilon = np.zeros(plan.samples, dtype=np.float32)
        self._partner[plan.kept] = plan.partner
        self._epsilon[plan.kept] = plan.epsilon

    def lookup(self, index: NDArray[np.int64]) -> BatchBlend:
        """Return those of the samples `index[B]` that are blended; a strength of 0 blends nothing."""
        places = np.flatnonzero(self._epsilon[index])
        samples = index[places]
        return BatchBlend(places=places, partners=self._partner[samples], epsilon=self._epsilon[samples])
