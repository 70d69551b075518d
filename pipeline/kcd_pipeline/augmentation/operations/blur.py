"""Gaussian blur, in integers.

Letters: B samples of a batch, n of them that are blurred, K pixels of the kernel, C channels, H and W pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import pixels_of
from kcd_pipeline.augmentation.operations.changes import NOTHING, Change, change_batch, change_picture
from kcd_pipeline.augmentation.operations.pictures import as_picture
from kcd_stores.philox import uniform

WEIGHT_BITS = 16  # a weight is an integer in units of 2**-16


@dataclass(frozen=True, kw_only=True)
class GaussianBlur:
    """Blur with a random width: torchvision's GaussianBlur, to within one step of a byte.

    Attributes
    ----------
    kernel_size
        Pixels of the kernel in each direction; odd.
    sigma
        Smallest and largest standard deviation, in pixels.
    probability
        With which a view is blurred.
    """

    kernel_size: int
    sigma: tuple[float, float]
    probability: float

    words = 2

    def describe(self) -> dict[str, Any]:
        return {
            "name": "gaussian-blur",
            "kernel_size": self.kernel_size,
            "sigma": list(self.sigma),
            "probability": self.probability,
        }

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw whether to blur, and the weights of pixels by their distance from the middle: `[1 + (K + 1) / 2, B]`.

        Raises
        ------
        ValueError
            If half a kernel is not smaller than the image, whose edges are mirrored.
        """
        reach = self.kernel_size // 2
        if reach >= min(height, width):
            raise ValueError(
                f"gaussian-blur with kernel_size {self.kernel_size} needs images larger than {reach} pixels, found "
                f"{height}x{width}"
            )
        low, high = self.sigma
        sigma = low + (high - low) * uniform(words[0])
        bells = np.exp(-0.5 * (np.arange(reach + 1)[:, None] / sigma) ** 2)
        total = bells[0] + 2 * bells[1:].sum(axis=0)
        sides = np.floor(bells[1:] / total * (1 << WEIGHT_BITS) + 0.5).astype(np.int64)
        middle = (1 << WEIGHT_BITS) - 2 * sides.sum(axis=0, keepdims=True)
        done = np.where(uniform(words[1]) < self.probability, 0, NOTHING)[None]
        return np.concatenate([done, middle, sides])

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        return change_batch([BLUR], images, parameters, drawn)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        return change_picture([BLUR], picture, parameters)


def _blur(images: Tensor, weights: Tensor) -> Tensor:
    """Return `images[n, C, H, W]` uint8, weighed along each direction by `weights[(K + 1) / 2, n]`, to nearest."""
    across = _weighed(images.to(torch.int32), weights.to(torch.int32), dim=3)  # a byte by 16 bits fits 32 bits
    down = _weighed(across.long(), weights, dim=2)
    return ((down + (1 << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS)).to(torch.uint8)


def _weighed(images: Tensor, weights: Tensor, *, dim: int) -> Tensor:
    """Return the sum of pixels along `dim` of `images[n, C, H, W]`, by their distance, with the edges mirrored."""
    size, reach = images.shape[dim], len(weights) - 1
    place = torch.arange(-reach, size + reach, device=images.device)
    padded = images.index_select(dim, (size - 1) - ((size - 1) - place.abs()).abs())
    each = weights[:, :, None, None, None]
    total = each[0] * images
    for distance in range(1, reach + 1):
        pair = padded.narrow(dim, reach - distance, size) + padded.narrow(dim, reach + distance, size)
        total = total + each[distance] * pair
    return total


def _blur_picture(picture: Image.Image, weights: NDArray[np.int64]) -> Image.Image:
    return as_picture(_blur(pixels_of(picture)[None], torch.from_numpy(weights)[:, None])[0])


BLUR = Change(on_batch=_blur, on_picture=_blur_picture)
