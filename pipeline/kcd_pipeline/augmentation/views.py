"""From stored images to what a model sees: the one path that extraction, training and evaluation share."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kcd_pipeline.augmentation.protocol import Augmentation


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
        `[N, C, H, W]` uint8; moved to `device` whole.
    mean, std
        Per channel, of pixels scaled to 0..1.
    """

    def __init__(
        self,
        images: Tensor,
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self._images = images.to(device)
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
        images = self._images[torch.from_numpy(index).to(self._images.device)]
        pixels = self._augmentation(images, index, view)
        return self.normalised(pixels)

    def batches(self, cut: Sequence[NDArray[np.int64]], view: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Each `index[B]` of `cut` in turn, with its views."""
        for index in cut:
            yield index, self.batch(index, view)
