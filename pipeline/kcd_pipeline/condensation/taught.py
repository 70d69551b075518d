"""What a stage is taught: stored rows as they stream by, the plan's perturbation applied to each batch of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.vaks import blend
from kcd_stores import NO_PARTNER, Plan, Rows


class TaughtRows:
    """Batches of knowledge under a plan; always from the stored row, never from one perturbed before."""

    def __init__(self, plan: Plan, *, space: str, temperature: float) -> None:
        self._partner = np.full(plan.samples, NO_PARTNER, dtype=np.int64)
        self._epsilon = np.zeros(plan.samples, dtype=np.float32)
        self._partner[plan.kept] = plan.partner
        self._epsilon[plan.kept] = plan.epsilon
        self._space, self._temperature = space, temperature

    def batch(self, rows: Rows, index: NDArray[np.int64]) -> Tensor:
        """Logits float32 `[B, C]` of samples `index[B]` from one view's stored rows, looked up by sample."""
        logits = torch.from_numpy(rows[index].astype(np.float32, copy=False))
        blended = np.flatnonzero(self._epsilon[index])
        if len(blended):
            of = index[blended]
            partners = torch.from_numpy(rows[self._partner[of]].astype(np.float32, copy=False))
            epsilon = torch.from_numpy(self._epsilon[of])
            logits[blended] = blend(
                logits[blended], partners, epsilon, space=self._space, temperature=self._temperature
            )
        return logits
