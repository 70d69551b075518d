"""Shifted images: pixels taken from other places of the same image.

Letters: B samples of a batch, C channels, H and W pixels.
"""

import torch
from torch import Tensor


def shifted(images: Tensor, y: Tensor, x: Tensor, padding: int, padding_mode: str) -> Tensor:
    """Return `out[B, C, H, W]` with `out[b, c, j, k] = images[b, c, y[b, j], x[b, k]]`.

    Positions `y[B, H]` and `x[B, W]` may lie up to `padding` pixels outside, where the image is black (`zeros`) or
    mirrored without repeating the edge (`reflect`).

    Raises
    ------
    ValueError
        If reflect padding is not smaller than the image.
    """
    height, width = images.shape[2:]
    if padding_mode == "reflect":
        if padding >= min(height, width):
            raise ValueError(f"reflect padding of {padding} needs images larger than {height}x{width}")
        return _gather(images, _reflect(y, height), _reflect(x, width))
    crops = _gather(images, y.clamp(0, height - 1), x.clamp(0, width - 1))
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    return crops * inside[:, None]


def _reflect(position: Tensor, size: int) -> Tensor:
    """Mirror positions outside 0 .. size - 1 back in, without repeating the edge."""
    return (size - 1) - ((size - 1) - position.abs()).abs()


def _gather(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return `out[B, C, J, K]` with `out[b, c, j, k] = images[b, c, y[b, j], x[b, k]]`."""
    batch, channels, _, width = images.shape
    flat = (y[:, :, None] * width + x[:, None, :]).reshape(batch, 1, -1).expand(-1, channels, -1)
    return images.reshape(batch, channels, -1).gather(2, flat).reshape(batch, channels, y.shape[1], x.shape[1])


def columns_of(images: Tensor) -> Tensor:
    """Return the positions 0 .. W - 1 of the columns of `images[B, C, H, W]`, `[B, W]` int64."""
    return torch.arange(images.shape[3], device=images.device).expand(len(images), -1)


def rows_of(images: Tensor) -> Tensor:
    """Return the positions 0 .. H - 1 of the rows of `images[B, C, H, W]`, `[B, H]` int64."""
    return torch.arange(images.shape[2], device=images.device).expand(len(images), -1)
