"""The weights of a stage: the factor of each sample's loss, looked up by sample. Letters: N samples, B batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.device_moves import to_device
from kcd_stores import Plan
from kcd_stores.scratch import pieces


class SampleWeights:
    """The factor of the loss of each of N samples, kept on the device, so that no step waits for it.

    Parameters
    ----------
    plan
        The plan of the stage, which weighs the samples that it keeps.
    given
        `[N]` float32: weights that the samples have whatever the plan says, those of a condensed store. The two are
        multiplied: a sample that stands for g samples, in a plan in which it stands for p of these, stands for g * p.
    device
        Where the weights are needed.
    """

    def __init__(self, plan: Plan, given: NDArray[np.float32] | None, device: torch.device) -> None:
        self._device, self._weights = device, None
        if plan.weighted or given is not None:
            weights = np.ones(plan.samples, np.float32) if given is None else given.astype(np.float32)
            for piece in pieces(len(plan.kept)):
                weights[plan.kept[piece]] *= plan.weight[piece]
            self._weights = to_device(weights, device)

    def batch(self, index: NDArray[np.int64]) -> Tensor | None:
        """Return the weights `[B]` of samples `index[B]`, float32, on the device; None if all weights are 1."""
        return None if self._weights is None else self._weights[to_device(index, self._device)]
