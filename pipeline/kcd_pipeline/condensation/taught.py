"""The knowledge that a stage is taught: stored rows as they stream by, perturbed batch by batch as its plan says.

Letters: m rows of a portion, B batch, C classes, D features.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.decoding import decoder_of
from kcd_pipeline.condensation.perturbation import Perturbation
from kcd_pipeline.condensation.vaks import blend, blend_features
from kcd_pipeline.device_moves import is_resident, to_device
from kcd_stores import HeldRows, Plan, Rows, ViewRows


class DeviceRows(Protocol):
    """Rows looked up by sample: `rows[index[B]]` is `[B, C]` or `[B, C + D]`, on a device."""

    def __getitem__(self, index: NDArray[np.int64], /) -> Tensor:
        """Return the rows of samples `index[B]`, in a floating dtype, on the device."""
        ...


class ResidentRows:
    """The rows of a portion, kept in a device's memory as they are held, and decoded there batch by batch.

    Parameters
    ----------
    decode
        Decodes packed rows on the device; None if `rows` are decoded.
    """

    def __init__(
        self, rows: ViewRows | HeldRows, device: torch.device, decode: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self._places, self._rows, self._decode = rows.places, torch.from_numpy(rows.rows).to(device), decode

    def __getitem__(self, index: NDArray[np.int64], /) -> Tensor:
        found = self._rows[to_device(self._places(index), self._rows.device)]
        return found if self._decode is None else self._decode(found)


class SentRows:
    """The rows of a portion, kept by the host; each batch is sent to a device as it is held, and decoded there."""

    def __init__(self, rows: ViewRows | HeldRows, device: torch.device, decode: Callable[[Tensor], Tensor]) -> None:
        self._held, self._device, self._decode = rows, device, decode

    def __getitem__(self, index: NDArray[np.int64], /) -> Tensor:
        return self._decode(to_device(self._held.taken(index), self._device))


def rows_for(rows: Rows, device: torch.device, where: str) -> Rows | DeviceRows:
    """Return `rows` in the way that a device looks them up.

    On a GPU they are kept in its memory, or by the host, as `where` (`run.resident`) says. Rows for a CPU, and those of
    an encoding that only numpy decodes, are decoded by the host.
    """
    if device.type == "cpu" or not isinstance(rows, ViewRows | HeldRows):
        return rows
    decode = None if rows.packing is None else decoder_of(rows.packing, device)
    if rows.packing is not None and decode is None:
        return rows
    # twice the size: the portion before is only given up when its last batch has been trained on
    if is_resident(2 * rows.rows.nbytes, device, where):
        return ResidentRows(rows, device, decode)
    return rows if decode is None else SentRows(rows, device, decode)


class TaughtRows:
    """Batches of knowledge under a plan. A perturbation always starts from the stored row, never from a perturbed one.

    Parameters
    ----------
    plan
        The plan, or its perturbations.
    space, temperature
        As in `blend`; or `teacher` for a space, if the rows of blended samples are those that a teacher gave.
    classes
        C: the first columns of a row are its logits, the others features.
    device
        Where the batches are needed; by default the CPU.
    """

    def __init__(
        self,
        plan: Plan | Perturbation,
        *,
        space: str,
        temperature: float,
        classes: int,
        device: torch.device | None = None,
    ) -> None:
        self._classes = classes
        self._perturbation = Perturbation(plan) if isinstance(plan, Plan) else plan
        self._space, self._temperature = space, temperature
        self._device = device or torch.device("cpu")

    def batch(
        self, rows: Rows | DeviceRows, index: NDArray[np.int64], judged: Rows | DeviceRows | None = None
    ) -> Tensor:
        """Return what samples `index[B]` of one view are taught: float32 `[B, C]` or `[B, C + D]`, on the device.

        Parameters
        ----------
        judged
            In the space `teacher`, the rows of those of the samples that are blended; None if none is.

        Raises
        ------
        ValueError
            If rows of blended samples are missing.
        """
        taught, classes = self._stored(rows, index), self._classes
        found = self._perturbation.lookup(index)
        if not len(found.places):
            return taught
        if self._space == "teacher":
            if judged is None:
                raise ValueError(f"{len(found.places)} samples are blended, but there are no rows of their blends")
            taught[to_device(found.places, self._device)] = self._stored(judged, index[found.places])
        else:
            places, epsilon = to_device(found.places, self._device), to_device(found.epsilon, self._device)
            own, others = taught[places], self._stored(rows, found.partners)
            logits = blend(
                own[:, :classes], others[:, :classes], epsilon, space=self._space, temperature=self._temperature
            )
            features = blend_features(own[:, classes:], others[:, classes:], epsilon, space=self._space)
            taught[places] = torch.cat([logits, features], dim=1)
        return taught

    def _stored(self, rows: Rows | DeviceRows, index: NDArray[np.int64]) -> Tensor:
        """Return a copy of the stored rows of `index[B]`, float32, on the device; the cast comes after the move."""
        found = rows[index]
        on_device = found if isinstance(found, Tensor) else to_device(found, self._device)
        return on_device.to(torch.float32)
