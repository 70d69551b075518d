"""What a stage is taught: stored rows as they stream by, the plan's perturbation applied to each batch of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.perturbation import Perturbation
from kcd_pipeline.condensation.vaks import blend
from kcd_stores import Plan, Rows


class TaughtRows:
    """Batches of knowledge under a plan; always from the stored row, never from one perturbed before.

    `space` and `temperature` are those of `blend`.
    """

    def __init__(self, plan: Plan, *, space: str, temperature: float) -> None:
        self._perturbation = Perturbation(plan)
        self._space, self._temperature = space, temperature

    def batch(self, rows: Rows, index: NDArray[np.int64]) -> Tensor:
        """Logits float32 `[B, C]` of samples `index[B]` from one view's stored rows, looked up by sample."""
        logits = torch.from_numpy(rows[index].astype(np.float32, copy=False))
        blended = self._perturbation.of(index)
        if len(blended.places):
            partners = torch.from_numpy(rows[blended.partners].astype(np.float32, copy=False))
            logits[blended.places] = blend(
                logits[blended.places],
                partners,
                torch.from_numpy(blended.epsilon),
                space=self._space,
                temperature=self._temperature,
            )
        return logits
