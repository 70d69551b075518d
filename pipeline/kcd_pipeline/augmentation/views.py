"""From stored images to what a model sees: the one path that extraction, training and evaluation share."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kcd_pipeline.augmentation.protocol import Augmentation
from kcd_pipeline.device_moves import is_resident, tensor_to_device, to_device

DRAWN_AT_ONCE = 8192  # samples whose parameters are drawn together: a few hundred kilobytes


class Normaliser:
    """`(pixel / 255 - mean) / std` per channel, as one multiplication and one addition.

    Parameters
    ----------
    mean, std
        Per channel, of pixels scaled to 0..1.
    """

    def __init__(self, *, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> None:
        self.device = device
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self._scale = scale.float().to(device).view(1, -1, 1, 1)
        self._shift = shift.float().to(device).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """`pixels[B, C, H, W]` uint8 as float32 of the same shape on the device, channels last in memory."""
        there = pixels.to(self.device, non_blocking=True)
        scaled = there.to(torch.float32, memory_format=torch.channels_last)
        return scaled.mul_(self._scale).add_(self._shift)


class Views:
    """Batches of a split's images as a model's input: gathered, augmented as uint8, normalised, channels last.

    Parameters
    ----------
    images
        `[N, C, H, W]` uint8; they lie where `resident` says, whole.
    mean, std
        Per channel, of pixels scaled to 0..1.
    device
        Where augmentation and normalisation run.
    resident
        As `run.resident`; on the host, a batch of images goes to the device when it is wanted.
    """

    def __init__(
        self,
        images: Tensor,
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        resident: str = "auto",
    ) -> None:
        self._device = device
        self._images = images.to(device) if is_resident(images.nbytes, device, resident) else images
        self._augmentation = augmentation
        self.normalised = Normaliser(mean=mean, std=std, device=device)

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Samples `index[B]` as their `view`: float32 `[B, C, H, W]`, channels last in memory.

        Raises
        ------
        ValueError
            If the augmentation does not fit images of this size.
        """
        return self._made(*self._drawn(index, view))

    def batches(self, cut: Sequence[NDArray[np.int64]], view: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Each `index[B]` of `cut` in turn, with its views; their parameters are drawn and moved many batches at once.

        Raises
        ------
        ValueError
            As `batch`.
        """
        for some in _together(cut):
            where, parameters = self._drawn(np.concatenate(some), view)
            start = 0
            for index in some:
                here = slice(start, start + len(index))
                yield index, self._made(where[here], parameters[:, here])
                start = here.stop

    def _drawn(self, index: NDArray[np.int64], view: ArrayLike) -> tuple[Tensor, Tensor]:
        """The samples `[n]` on the device of the images, and the parameters of their views `[P, n]` on the model's."""
        parameters = self._augmentation.parameters(index, view, *self._images.shape[2:])
        return to_device(index, self._images.device), to_device(parameters, self._device)

    def _made(self, where: Tensor, parameters: Tensor) -> Tensor:
        images = self._images[where]
        if images.device != self._device:
            images = tensor_to_device(images, self._device)
        return self.normalised(self._augmentation.apply(images, parameters))


def _together(cut: Sequence[NDArray[np.int64]]) -> Iterator[Sequence[NDArray[np.int64]]]:
    """Runs of batches of about DRAWN_AT_ONCE samples."""
    each = max(DRAWN_AT_ONCE // max(len(cut[0]), 1), 1) if cut else 1
    for start in range(0, len(cut), each):
        yield cut[start : start + each]
