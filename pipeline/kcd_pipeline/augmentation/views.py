"""Views of images in memory, as extraction, training and evaluation all take them."""

from collections.abc import Iterator, Sequence
from typing import Any

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
    device
        Where the arithmetic runs and the result lies.
    """

    def __init__(self, *, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> None:
        self.device = device
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self._scale = scale.float().to(device).view(1, -1, 1, 1)
        self._shift = shift.float().to(device).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalise `pixels[B, C, H, W]` uint8: float32 of the same shape, channels last in memory."""
        on_device = pixels.to(self.device, non_blocking=True)
        scaled = on_device.to(torch.float32, memory_format=torch.channels_last)
        return scaled.mul_(self._scale).add_(self._shift)


class InMemoryViews:
    """A `ViewSource` over images in memory: they are gathered, augmented as uint8, then normalised.

    Parameters
    ----------
    images
        `[N, C, H, W]` uint8.
    mean, std
        Per channel, of pixels scaled to 0..1.
    device
        Where augmentation and normalisation run.
    resident
        `run.resident`: whether the images lie on `device`. From the host each batch goes there when it is wanted.
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
        self._normalise = Normaliser(mean=mean, std=std, device=device)

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return views of samples `index[B]`: float32 `[B, C, H, W]`, channels last in memory.

        Raises
        ------
        ValueError
            If the augmentation does not fit images of this size.
        """
        return self._make(*self._draw(index, view))

    def batches(
        self, index_batches: Sequence[NDArray[np.int64]], view: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield each `index[B]` of `index_batches` with its views.

        The parameters of many batches are drawn and moved together, which spares the device many small copies.

        Raises
        ------
        ValueError
            If the augmentation does not fit images of this size.
        """
        for some in _runs(index_batches):
            samples, parameters, drawn = self._draw(np.concatenate(some), view)
            start = 0
            for index in some:
                part = slice(start, start + len(index))
                yield index, self._make(samples[part], parameters[:, part], drawn[:, part])
                start = part.stop

    def _draw(self, index: NDArray[np.int64], view: ArrayLike) -> tuple[Tensor, Tensor, NDArray[Any]]:
        """Return samples `[n]` on the device of the images, and parameters `[P, n]` on the model's and on the host."""
        drawn = self._augmentation.parameters(index, view, *self._images.shape[2:])
        return to_device(index, self._images.device), to_device(drawn, self._device), drawn

    def _make(self, samples: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        images = self._images[samples]
        if images.device != self._device:
            images = tensor_to_device(images, self._device)
        return self._normalise(self._augmentation.apply(images, parameters, drawn))


def _runs(index_batches: Sequence[NDArray[np.int64]]) -> Iterator[Sequence[NDArray[np.int64]]]:
    """Yield runs of batches, of about DRAWN_AT_ONCE samples each; the first batch says how large a batch is."""
    length = max(DRAWN_AT_ONCE // max(len(index_batches[0]), 1), 1) if index_batches else 1
    for start in range(0, len(index_batches), length):
        yield index_batches[start : start + length]
