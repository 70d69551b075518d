"""Shears, shifts and rotations in fixed point, so that a pixel is the same on every device, and the same as Pillow's.

A matrix says where in an image the middle of pixel (x, y) of the result comes from: column `m0*x + m1*y + m2`, row
`m3*x + m4*y + m5`. Its numbers are integers in units of 2**-16 pixels.

Letters: n images, C channels, H and W pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

BITS = 16  # of the fraction of a pixel: as in Pillow, whose arithmetic is exact for such matrices
ONE = 1 << BITS


def shear_x(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return matrices `[6, n]` that slide each row by `amounts[n]` times its distance from the top."""
    one, zero = np.ones_like(amounts), np.zeros_like(amounts)
    return _fixed(one, amounts, zero, zero, one, zero)


def shear_y(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return matrices `[6, n]` that slide each column by `amounts[n]` times its distance from the left."""
    one, zero = np.ones_like(amounts), np.zeros_like(amounts)
    return _fixed(one, zero, zero, amounts, one, zero)


def translate_x(pixels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return matrices `[6, n]` that move images to the right by `pixels[n]`."""
    one, zero = np.ones_like(pixels), np.zeros_like(pixels)
    return _fixed(one, zero, -pixels, zero, one, zero)


def translate_y(pixels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return matrices `[6, n]` that move images down by `pixels[n]`."""
    one, zero = np.ones_like(pixels), np.zeros_like(pixels)
    return _fixed(one, zero, zero, zero, one, -pixels)


def rotate(degrees: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """Return matrices `[6, n]` that turn images of this height and width about their middle, counter-clockwise."""
    angles = degrees * (-np.pi / 180)
    cos, sin = np.cos(angles).round(15), np.sin(angles).round(15)  # as Pillow rounds: exact at quarter turns
    middle_x, middle_y = width / 2, height / 2
    column = middle_x - cos * middle_x - sin * middle_y
    row = middle_y + sin * middle_x - cos * middle_y
    return _fixed(cos, sin, column, -sin, cos, row)


def transform(images: Tensor, matrices: Tensor, *, bilinear: bool, fill: int) -> Tensor:
    """Return `images[n, C, H, W]` uint8 moved by `matrices[6, n]` int64: same shape and dtype.

    Parameters
    ----------
    bilinear
        True to weigh the four pixels around a place by their nearness, False to take the nearest.
    fill
        The byte of pixels that come from outside the image.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    m = matrices[:, :, None, None]
    column, row = m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]
    inside = (column >= 0) & (column < width * ONE) & (row >= 0) & (row < height * ONE)
    if bilinear:
        made = _between(images, row - ONE // 2, column - ONE // 2)
    else:
        made = _taken(images, row >> BITS, column >> BITS)
    return torch.where(inside[:, None], made, fill).to(torch.uint8)


def transform_picture(picture: Image.Image, matrix: NDArray[np.int64], *, bilinear: bool, fill: int) -> Image.Image:
    """Return `picture` moved by a matrix `[6]`, by Pillow; see `transform`."""
    m = matrix.tolist()
    # Pillow adds half a pixel to x and y itself
    start = [m[2] - (m[0] + m[1]) / 2, m[5] - (m[3] + m[4]) / 2]
    numbers = [number / ONE for number in (m[0], m[1], start[0], m[3], m[4], start[1])]
    kernel = Image.Resampling.BILINEAR if bilinear else Image.Resampling.NEAREST
    colour = (fill,) * len(picture.getbands())
    return picture.transform(picture.size, Image.Transform.AFFINE, numbers, kernel, fillcolor=colour)


def _fixed(*numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return six `numbers[n]` that map corners of pixels as matrices `[6, n]` that map their middles."""
    a, b, c, d, e, f = numbers
    middles = np.stack([a, b, c + (a + b) / 2, d, e, f + (d + e) / 2])
    return np.floor(middles * ONE + 0.5).astype(np.int64)


def _between(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Return the pixels of `images[n, C, H, W]` at places `[n, H, W]` in units of 2**-16, weighed: `[n, C, H, W]`."""
    down, right = (row & (ONE - 1))[:, None], (column & (ONE - 1))[:, None]
    row, column = row >> BITS, column >> BITS
    upper = _taken(images, row, column) * (ONE - right) + _taken(images, row, column + 1) * right
    lower = _taken(images, row + 1, column) * (ONE - right) + _taken(images, row + 1, column + 1) * right
    return (upper * (ONE - down) + lower * down) >> (2 * BITS)


def _taken(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Return the pixels of `images[n, C, H, W]` at rows and columns `[n, H, W]`, held inside: `[n, C, H, W]`."""
    _, channels, height, width = images.shape
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    return images.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, channels, -1)).view_as(images)
