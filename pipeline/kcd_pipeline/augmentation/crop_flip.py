"""Pad, crop back to the same size, mirror: the augmentation of CIFAR training since He et al. 2016."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.frame import Frame
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import below, draws


@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """Views `v` of samples `i`: shift by up to `padding` pixels each way, flip with probability one half."""

    seed: int
    padding: int
    padding_mode: str
    flip: bool

    def describe(self) -> dict[str, Any]:
        return {"name": "crop-flip", **vars(self)}

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        """`[3, B]`: top and left of the crop in the padded image (0 .. 2*padding), and whether it is mirrored."""
        words = draws(self.seed, index, view, 3)
        positions = 2 * self.padding + 1
        flip = below(words[2], 2) if self.flip else np.zeros(len(index), np.int64)
        return np.stack([below(words[0], positions), below(words[1], positions), flip])

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """`images[B, C, H, W]` uint8 of samples `index[B]`, as their `view`: uint8 of the same shape.

        Raises
        ------
        ValueError
            If reflect padding is not smaller than the image.
        """
        parameters = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(parameters, images.device))

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """`images[B, C, H, W]` uint8 as views of `parameters[3, B]` on the same device: uint8 of the same shape.

        Raises
        ------
        ValueError
            If reflect padding is not smaller than the image.
        """
        batch, _, height, width = images.shape
        top, left, flip = parameters
        y = torch.arange(height, device=images.device) + (top - self.padding)[:, None]
        x = torch.arange(width, device=images.device).expand(batch, width)
        x = torch.where(flip[:, None] == 1, width - 1 - x, x) + (left - self.padding)[:, None]
        if self.padding_mode == "reflect":
            if self.padding >= min(height, width):
                raise ValueError(f"reflect padding of {self.padding} needs images larger than {height}x{width}")
            return _gather(images, _reflected(y, height), _reflected(x, width))
        crops = _gather(images, y.clamp(0, height - 1), x.clamp(0, width - 1))
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
        return crops * inside[:, None]

    def picture(self, picture: Image.Image, frame: Frame, sample: int, view: int) -> Tensor:
        """The middle of a `picture`, as an image in memory would be augmented: uint8 [3, size, size] of `frame`."""
        return self(frame.centred(picture)[None], np.array([sample]), view)[0]


def _reflected(position: Tensor, size: int) -> Tensor:
    """Positions outside 0 .. size-1 mirrored back in, the edge itself not repeated."""
    return (size - 1) - ((size - 1) - position.abs()).abs()


def _gather(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """`out[b, c, j, k] = images[b, c, y[b, j], x[b, k]]`."""
    batch, channels, _, width = images.shape
    flat = (y[:, :, None] * width + x[:, None, :]).reshape(batch, 1, -1).expand(-1, channels, -1)
    return images.reshape(batch, channels, -1).gather(2, flat).reshape(batch, channels, y.shape[1], x.shape[1])
