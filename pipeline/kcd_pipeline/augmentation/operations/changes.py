"""Changes of pixels by their names, each for images of a batch and for a decoded picture, with the same result.

Letters: B images of a batch, n of them that one change is made to, A amounts of a change, C channels, H and W pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from kcd_pipeline.augmentation.operations import affine, pixels
from kcd_pipeline.device_moves import to_device

NOTHING = -1  # in place of a change's number: the image stays as it is
AMOUNTS = 6  # of the change that takes most, a move
UNIT = 1 << pixels.FACTOR_BITS


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of pixels by integer amounts.

    Attributes
    ----------
    on_batch
        Takes `images[n, C, H, W]` uint8 and their `amounts[A, n]` int64, and returns images.
    on_picture
        Takes an RGB picture and its `amounts[A]` int64.
    """

    on_batch: Callable[[Tensor, Tensor], Tensor]
    on_picture: Callable[[Image.Image, NDArray[np.int64]], Image.Image]


def move(*, bilinear: bool, fill: int) -> Change:
    """Return the change by a matrix of `affine`, with how it weighs pixels and what it fills corners with."""
    return Change(
        on_batch=partial(affine.transform, bilinear=bilinear, fill=fill),
        on_picture=partial(affine.transform_picture, bilinear=bilinear, fill=fill),
    )


def factor(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the factors of a change as integers in units of 2**-14, to nearest."""
    return np.floor(amounts * UNIT + 0.5).astype(np.int64)


def change_batch(changes: Sequence[Change], images: Tensor, rows: Tensor, drawn: NDArray[Any]) -> Tensor:
    """Return `images[B, C, H, W]` uint8, each after the change that its column of `rows[1 + A, B]` names.

    Images with the same change are changed together. Which those are is known on the host, so that no device is waited
    for.

    Parameters
    ----------
    rows
        The number of the change in `changes`, or `NOTHING`, above its amounts; on the device of the images.
    drawn
        The same numbers on the host.
    """
    numbers = drawn[0].astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    places = to_device(order, images.device)
    ends = np.searchsorted(numbers[order], np.arange(len(changes) + 1)).tolist()
    made = images
    for change, start, end in zip(changes, ends, ends[1:], strict=False):
        if start == end:
            continue
        some = places[start:end]
        changed = change.on_batch(images[some], rows[1:, some].long())
        # the first copy leaves the caller's images as they are, the others change our own
        made = made.index_copy(0, some, changed) if made is images else made.index_copy_(0, some, changed)
    return made


def change_picture(changes: Sequence[Change], picture: Image.Image, row: NDArray[Any]) -> Image.Image:
    """Return `picture` after the change that `row[1 + A]` names, as `change_batch` does."""
    number = int(row[0])
    return picture if number == NOTHING else changes[number].on_picture(picture, row[1:].astype(np.int64))


def _enhanced(enhancer: Callable[[Image.Image], Any]) -> Callable[[Image.Image, NDArray[np.int64]], Image.Image]:
    def change(picture: Image.Image, amounts: NDArray[np.int64]) -> Image.Image:
        enhanced: Image.Image = enhancer(picture).enhance(int(amounts[0]) / UNIT)
        return enhanced

    return change


def _by_table(batch: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Image.Image, NDArray[np.int64]], Image.Image]:
    """Return how a picture is changed, each byte by itself, as `batch` changes it."""
    every_byte = torch.arange(256, dtype=torch.uint8)[None, None, None]

    def change(picture: Image.Image, amounts: NDArray[np.int64]) -> Image.Image:
        table = batch(every_byte, torch.from_numpy(amounts)[:, None]).flatten().tolist()
        return picture.point(table * len(picture.getbands()))

    return change


def _turn_hue(picture: Image.Image, amounts: NDArray[np.int64]) -> Image.Image:
    hues, saturations, values = picture.convert("HSV").split()
    turned = hues.point([(hue + int(amounts[0])) & 255 for hue in range(256)])
    return Image.merge("HSV", (turned, saturations, values)).convert("RGB")


CHANGES: Mapping[str, Change] = {
    "brightness": Change(on_batch=pixels.brightness, on_picture=_enhanced(ImageEnhance.Brightness)),
    "contrast": Change(on_batch=pixels.contrast, on_picture=_enhanced(ImageEnhance.Contrast)),
    "saturation": Change(on_batch=pixels.saturation, on_picture=_enhanced(ImageEnhance.Color)),
    "sharpness": Change(on_batch=pixels.sharpness, on_picture=_enhanced(ImageEnhance.Sharpness)),
    "hue": Change(on_batch=pixels.hue, on_picture=_turn_hue),
    "grayscale": Change(
        on_batch=pixels.grayscale, on_picture=lambda picture, _: picture.convert("L").convert(picture.mode)
    ),
    "autocontrast": Change(on_batch=pixels.autocontrast, on_picture=lambda picture, _: ImageOps.autocontrast(picture)),
    "equalize": Change(on_batch=pixels.equalize, on_picture=lambda picture, _: ImageOps.equalize(picture)),
    "invert": Change(on_batch=pixels.invert, on_picture=_by_table(pixels.invert)),
    "posterize": Change(on_batch=pixels.posterize, on_picture=_by_table(pixels.posterize)),
    "solarize": Change(on_batch=pixels.solarize, on_picture=_by_table(pixels.solarize)),
    "solarize-add": Change(on_batch=pixels.solarize_add, on_picture=_by_table(pixels.solarize_add)),
}
