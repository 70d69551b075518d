"""A plan's perturbations, looked up by sample: the one source for blending knowledge and, in pair mode, images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_stores import NO_PARTNER, Plan
from kcd_stores.scratch import IN_MEMORY, Scratch, pieces

NONE = np.empty(0, np.int64)


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
    """Partner and strength of each of the N samples of a plan, in arrays of `scratch`."""

    def __init__(self, plan: Plan, scratch: Scratch = IN_MEMORY) -> None:
        blends = plan.blends
        self._partner = scratch.full(plan.samples if blends else 0, np.int64, NO_PARTNER)
        self._epsilon = scratch.full(len(self._partner), np.float32, 0)
        for piece in pieces(len(plan.kept) if blends else 0):
            kept = plan.kept[piece]
            self._partner[kept] = plan.partner[piece]
            self._epsilon[kept] = plan.epsilon[piece]

    def lookup(self, index: NDArray[np.int64]) -> BatchBlend:
        """Return those of the samples `index[B]` that are blended; a strength of 0 blends nothing."""
        places = np.flatnonzero(self._epsilon[index]) if len(self._epsilon) else NONE
        samples = index[places]
        return BatchBlend(places=places, partners=self._partner[samples], epsilon=self._epsilon[samples])
