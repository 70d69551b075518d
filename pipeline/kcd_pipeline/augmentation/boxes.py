"""Random boxes of an image, and boxes that are scaled up to the size of the image.

A box is never larger than its image, so boxes in memory are only enlarged, which needs no antialiasing. They are scaled
bilinearly in fixed point, with integers only, so that a pixel is the same on every device and in every batch.

Letters: B samples of a batch, C channels, H and W pixels.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_stores.philox import below, uniform

ATTEMPTS = 10  # boxes tried before the fallback, as in torchvision
SIZE_WORDS = 2 * ATTEMPTS  # that `draw_sizes` takes
BOX_WORDS = SIZE_WORDS + 2  # that `draw_boxes` takes
FRACTION_BITS = 11  # of a pixel's position: a byte times two weights stays below 2**31

Limits = tuple[float, float]


def draw_sizes(
    words: NDArray[np.uint32], height: int, width: int, *, scale: Limits, ratio: Limits
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ATTEMPTS heights and widths of boxes in pixels, `[ATTEMPTS, B]` each, from `words[SIZE_WORDS, B]`.

    The area is uniform in `scale`, as a fraction of the image, the aspect (width over height) log-uniform in `ratio`.
    """
    area = height * width * (scale[0] + (scale[1] - scale[0]) * uniform(words[:ATTEMPTS]))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = np.exp(low + (high - low) * uniform(words[ATTEMPTS:SIZE_WORDS]))
    return np.rint(np.sqrt(area / aspect)).astype(np.int64), np.rint(np.sqrt(area * aspect)).astype(np.int64)


def draw_boxes(
    words: NDArray[np.uint32], height: int, width: int, *, scale: Limits, ratio: Limits
) -> NDArray[np.int64]:
    """Return top, left, height and width of a box in pixels, `[4, B]`, from `words[BOX_WORDS, B]`.

    The first of ten boxes that fits is taken; if none fits, the largest box in the middle whose aspect is allowed.
    """
    h, w = draw_sizes(words, height, width, scale=scale, ratio=ratio)
    fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
    first = fits.argmax(axis=0)
    columns = np.arange(words.shape[1])
    fallback_h, fallback_w = _fallback(height, width, ratio)
    any_fits = fits.any(axis=0)
    h = np.where(any_fits, h[first, columns], fallback_h)
    w = np.where(any_fits, w[first, columns], fallback_w)
    top = np.where(any_fits, below(words[SIZE_WORDS], height - h + 1), (height - fallback_h) // 2)
    left = np.where(any_fits, below(words[SIZE_WORDS + 1], width - w + 1), (width - fallback_w) // 2)
    return np.stack([top, left, h, w])


def _fallback(height: int, width: int, ratio: Limits) -> tuple[int, int]:
    """Return height and width of the largest box whose aspect is within `ratio`."""
    aspect = width / height
    if aspect < ratio[0]:
        return max(min(round(width / ratio[0]), height), 1), width
    if aspect > ratio[1]:
        return height, max(min(round(height * ratio[1]), width), 1)
    return height, width


def enlarged(images: Tensor, boxes: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """Return the `boxes[4, B]` of `images[B, C, H, W]` uint8, scaled to the size of the images.

    Parameters
    ----------
    mirrored
        `[B]` bool: the boxes that are mirrored left to right; None: no box is.
    """
    height, width = images.shape[2:]
    top, left, box_height, box_width = boxes
    y, y_next, y_part = _positions(top, box_height, height)
    x, x_next, x_part = _positions(left, box_width, width)
    if mirrored is not None:
        x, x_next, x_part = (torch.where(mirrored[:, None], part.flip(1), part) for part in (x, x_next, x_part))
    one = 1 << FRACTION_BITS
    across = _columns(images, x) * (one - x_part)[:, None, None] + _columns(images, x_next) * x_part[:, None, None]
    down = _rows(across, y) * (one - y_part)[:, None, :, None] + _rows(across, y_next) * y_part[:, None, :, None]
    return ((down + (1 << (2 * FRACTION_BITS - 1))) >> (2 * FRACTION_BITS)).to(torch.uint8)


def scaled_box(picture: Image.Image, box: NDArray[Any], width: int, height: int) -> Image.Image:
    """Return the `box[4]` of `picture`, scaled to `width` x `height` pixels, bilinear and antialiased, by Pillow."""
    top, left, box_height, box_width = map(int, box)
    cut = picture.crop((left, top, left + box_width, top + box_height))
    return cut.resize((width, height), Image.Resampling.BILINEAR)


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
