"""What a stage is taught: stored rows as they stream by, the plan's perturbation applied to each batch of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.perturbation import Perturbation
from kcd_pipeline.condensation.vaks import blend, blend_features
from kcd_pipeline.device_moves import is_resident, to_device
from kcd_stores import HeldRows, Plan, Rows, ViewRows


class ResidentRows:
    """The rows of a portion in a device's memory, `[m, C]` in the store's decoded dtype, looked up by sample there."""

    def __init__(self, rows: ViewRows | HeldRows, device: torch.device) -> None:
        self._places, self._rows = rows.places, torch.from_numpy(rows.rows).to(device)

    def __getitem__(self, index: NDArray[np.int64], /) -> Tensor:
        """Rows `[B, C]` of samples `index[B]`, on the device."""
        return self._rows[to_device(self._places(index), self._rows.device)]


def make_resident(rows: Rows, device: torch.device, where: str) -> Rows | ResidentRows:
    """`rows` in the memory of a GPU, if `where` (`run.resident`) says so and they are all there; else as they are."""
    if device.type == "cpu" or not isinstance(rows, ViewRows | HeldRows):
        return rows
    # twice: those of the portion before are given up only when its last batch has been trained on
    return ResidentRows(rows, device) if is_resident(2 * rows.rows.nbytes, device, where) else rows


class TaughtRows:
    """Batches of knowledge under a plan; always from the stored row, never from one perturbed before.

    `space` and `temperature` are those of `blend`; rows may have features behind their `classes` logits.
    """

    def __init__(
        self, plan: Plan, *, space: str, temperature: float, classes: int, device: torch.device | None = None
    ) -> None:
        self._classes = classes
        self._perturbation = Perturbation(plan)
        self._space, self._temperature = space, temperature
        self._device = device or torch.device("cpu")

    def batch(self, rows: Rows | ResidentRows, index: NDArray[np.int64]) -> Tensor:
        """Rows float32 `[B, C]` (with features `[B, C + D]`) of samples `index[B]` of one view, on the device."""
        taught, classes = self._looked_up(rows, index), self._classes
        blended = self._perturbation.lookup(index)
        if len(blended.places):
            places, epsilon = to_device(blended.places, self._device), to_device(blended.epsilon, self._device)
            own, others = taught[places], self._looked_up(rows, blended.partners)
            logits = blend(
                own[:, :classes], others[:, :classes], epsilon, space=self._space, temperature=self._temperature
            )
            features = blend_features(own[:, classes:], others[:, classes:], epsilon, space=self._space)
            taught[places] = torch.cat([logits, features], dim=1)
        return taught

    def _looked_up(self, rows: Rows | ResidentRows, index: NDArray[np.int64]) -> Tensor:
        """A copy of stored rows, float32 `[B, C]`; those that wait on the host are cast where they are used."""
        found = rows[index]
        there = found if isinstance(found, Tensor) else to_device(found, self._device)
        return there.to(torch.float32)
