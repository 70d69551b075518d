"""Crop a random box, scale it back to the full size, mirror: the augmentation of ImageNet training.

Of images in memory, scaling is bilinear in fixed point, integers only, so that a pixel is the same on every device and
in every batch. Crops are never larger than the image, so this only enlarges and needs no antialiasing. Of a picture
that is decoded on the fly, the box is cut from the picture at its own size and scaled as Pillow and torchvision do.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.frame import Frame, as_pixels
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import below, draws, uniform

ATTEMPTS = 10  # boxes tried before the fallback, as torchvision does
FRACTION_BITS = 11  # of a pixel; two weights and a byte together stay below 2**31


@dataclass(frozen=True, kw_only=True)
class ResizedCropFlip:
    """Views `v` of samples `i`: torchvision's RandomResizedCrop, replayable."""

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
        """`[5, B]`: top, left, height and width of the box in pixels, and whether it is mirrored.

        Area uniform in `scale`, aspect log-uniform in `ratio`; the first of ten boxes that fits is taken, else
        the whole image cut to the nearest allowed aspect.
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
        whole_h, whole_w = self._fallback(height, width)
        some = fits.any(axis=0)
        h = np.where(some, h[first, columns], whole_h)
        w = np.where(some, w[first, columns], whole_w)
        top = np.where(some, below(words[-3], height - h + 1), (height - whole_h) // 2)
        left = np.where(some, below(words[-2], width - w + 1), (width - whole_w) // 2)
        flip = below(words[-1], 2) if self.flip else np.zeros(len(index), np.int64)
        return np.stack([top, left, h, w, flip])

    def _fallback(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the largest centred box whose aspect is within `ratio`."""
        aspect = width / height
        if aspect < self.ratio[0]:
            return max(min(round(width / self.ratio[0]), height), 1), width
        if aspect > self.ratio[1]:
            return height, max(min(round(height * self.ratio[1]), width), 1)
        return height, width

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """`images[B, C, H, W]` uint8 of samples `index[B]`, as their `view`: uint8 of the same shape."""
        parameters = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(parameters, images.device))

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """`images[B, C, H, W]` uint8 as views of `parameters[5, B]` on the same device: uint8 of the same shape."""
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

    def picture(self, picture: Image.Image, frame: Frame, sample: int, view: int) -> Tensor:
        """A box of a `picture` of any size, scaled to uint8 [3, size, size] of `frame`; bilinear and antialiased."""
        width, height = picture.size
        box = self.parameters(np.array([sample]), view, height, width)[:, 0]
        top, left, box_height, box_width, flip = box.tolist()
        crop = picture.crop((left, top, left + box_width, top + box_height))
        scaled = crop.resize((frame.size, frame.size), Image.Resampling.BILINEAR)
        return as_pixels(scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else scaled)


def _positions(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `size` output pixels: the source pixel before, the one after, and the weight of the latter.

    Output pixel j samples `start + (j + 0.5) * length / size - 0.5`, held inside the box; weights are in units of
    2**-FRACTION_BITS. All `[B, size]` integers.
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
    """`images[B, C, H, W]`, `x[B, K]` -> int32 `[B, C, H, K]`."""
    batch, channels, height, _ = images.shape
    return images.gather(3, x[:, None, None].expand(batch, channels, height, -1)).to(torch.int32)


def _rows(images: Tensor, y: Tensor) -> Tensor:
    """`images[B, C, H, W]`, `y[B, J]` -> `[B, C, J, W]`."""
    batch, channels, _, width = images.shape
    return images.gather(2, y[:, None, :, None].expand(batch, channels, -1, width))
