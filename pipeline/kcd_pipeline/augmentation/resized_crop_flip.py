"""Crop a random box, scale it to the full size, mirror: the augmentation of ImageNet training.

Images in memory are scaled bilinearly in fixed point, with integers only, so that a pixel is the same on every device
and in every batch. A box is never larger than its image, so images are only enlarged, which needs no antialiasing.
Pictures that are decoded one by one are cropped at their own size, and scaled as Pillow and torchvision scale them.

Letters: B samples of a batch, C channels, H and W pixels.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop, pixels_of
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import below, draws, uniform

ATTEMPTS = 10  # boxes tried before the fallback, as in torchvision
FRACTION_BITS = 11  # of a pixel's position: a byte times two weights stays below 2**31


@dataclass(frozen=True, kw_only=True)
class ResizedCropFlip:
    """torchvision's RandomResizedCrop and RandomHorizontalFlip, replayable.

    Attributes
    ----------
    scale
        Smallest and largest area of the box, as a fraction of the image.
    ratio
        Smallest and largest aspect of the box, width over height.
    flip
        True if images are mirrored, with probability one half.
    """

    seed: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip: bool

    def describe(self) -> dict[str, Any]:
        return {
            "name": "resized-crop-flip",
            **vars(self),
            "scale": list(self.scale),
            "ratio": list(self.ratio),
        }

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        """Draw top, left, height and width of the box in pixels, and whether to mirror: `[5, B]`.

        The area is uniform in `scale`, the aspect log-uniform in `ratio`. The first of ten boxes that fits is taken;
        if none fits, the largest box in the middle whose aspect is allowed.
        """
        words = draws(self.seed, index, view, 2 * ATTEMPTS + 3)
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * uniform(words[:ATTEMPTS]))
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        aspect = np.exp(low + (high - low) * uniform(words[ATTEMPTS : 2 * ATTEMPTS]))
        w = np.rint(np.sqrt(area * aspect)).astype(np.int64)
        h = np.rint(np.sqrt(area / aspect)).astype(np.int64)
        fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
        first = fits.argmax(axis=0)
        columns = np.arange(len(index))
        fallback_h, fallback_w = self._fallback(height, width)
        any_fits = fits.any(axis=0)
        h = np.where(any_fits, h[first, columns], fallback_h)
        w = np.where(any_fits, w[first, columns], fallback_w)
        top = np.where(any_fits, below(words[-3], height - h + 1), (height - fallback_h) // 2)
        left = np.where(any_fits, below(words[-2], width - w + 1), (width - fallback_w) // 2)
        flip = below(words[-1], 2) if self.flip else np.zeros(len(index), np.int64)
        return np.stack([top, left, h, w, flip])

    def _fallback(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the largest box whose aspect is within `ratio`."""
        aspect = width / height
        if aspect < self.ratio[0]:
            return max(min(round(width / self.ratio[0]), height), 1), width
        if aspect > self.ratio[1]:
            return height, max(min(round(height * self.ratio[1]), width), 1)
        return height, width

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return the `view` of samples `index[B]`, which are `images[B, C, H, W]` uint8: same shape and dtype."""
        parameters = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(parameters, images.device))

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[5, B]` describe: same shape and dtype."""
        height, width = images.shape[2:]
        top, left, box_height, box_width, flip = parameters
        y, y_next, y_part = _positions(top, box_height, height)
        x, x_next, x_part = _positions(left, box_width, width)
        mirrored = flip[:, None] == 1
        x, x_next, x_part = (torch.where(mirrored, part.flip(1), part) for part in (x, x_next, x_part))
        one = 1 << FRACTION_BITS
        across = _columns(images, x) * (one - x_part)[:, None, None] + _columns(images, x_next) * x_part[:, None, None]
        down = _rows(across, y) * (one - y_part)[:, None, :, None] + _rows(across, y_next) * y_part[:, None, :, None]
        return ((down + (1 << (2 * FRACTION_BITS - 1))) >> (2 * FRACTION_BITS)).to(torch.uint8)

    def augment_picture(self, picture: Image.Image, crop: CentreCrop, sample: int, view: int) -> Tensor:
        """Cut the box out of `picture` and scale it, bilinear and antialiased: uint8 [3, size, size]."""
        width, height = picture.size
        box = self.parameters(np.array([sample]), view, height, width)[:, 0]
        top, left, box_height, box_width, flip = box.tolist()
        cut = picture.crop((left, top, left + box_width, top + box_height))
        scaled = cut.resize((crop.size, crop.size), Image.Resampling.BILINEAR)
        return pixels_of(scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else scaled)


def _positions(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each of `size` output pixels, the source pixels before and after, and the weight of the one after.

    Output pixel j samples `start + (j + 0.5) * length / size - 0.5`, held inside the box. `start[B]` and `length[B]`
    are in pixels, weights in units of 2**-FRACTION_BITS. All three are integers `[B, size]`.
    """
    j = torch.arange(size, device=start.device)
    numerator = (2 * j + 1) * length[:, None] << FRACTION_BITS
    position = torch.div(numerator, 2 * size, rounding_mode="floor") - (1 << (FRACTION_BITS - 1))
    last = (length - 1)[:, None]
    position = torch.minimum(position.clamp(min=0), last << FRACTION_BITS)
    before = position >> FRACTION_BITS
    after = torch.minimum(before + 1, last)
    part = (position & ((1 << FRACTION_BITS) - 1)).to(torch.int32)
    return before + start[:, None], after + start[:, None], part


def _columns(images: Tensor, x: Tensor) -> Tensor:
    """Take columns `x[B, K]` of `images[B, C, H, W]`: int32 `[B, C, H, K]`."""
    batch, channels, height, _ = images.shape
    return images.gather(3, x[:, None, None].expand(batch, channels, height, -1)).to(torch.int32)


def _rows(images: Tensor, y: Tensor) -> Tensor:
    """Take rows `y[B, J]` of `images[B, C, H, W]`: `[B, C, J, W]`."""
    batch, channels, _, width = images.shape
    return images.gather(2, y[:, None, :, None].expand(batch, channels, -1, width))
