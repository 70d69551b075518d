"""Pad, crop back to the same size, mirror: the augmentation of CIFAR training (He et al., CVPR 2016, section 4.2).

Letters: B samples of a batch, C channels, H and W pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop
from kcd_pipeline.augmentation.shifts import columns_of, rows_of, shifted
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import below, draws


@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """Shift an image by up to `padding` pixels each way, then mirror it with probability one half.

    Attributes
    ----------
    padding_mode
        Pixels that a shift brings in: `zeros`, or the mirror image of the edge, `reflect`.
    flip
        True if images are mirrored at all.
    """

    seed: int
    padding: int
    padding_mode: str
    flip: bool

    def describe(self) -> dict[str, Any]:
        return {"name": "crop-flip", **vars(self)}

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        """Draw top and left of the crop in the padded image (0 .. 2 * padding), and whether to mirror: `[3, B]`."""
        words = draws(self.seed, index, view, 3)
        positions = 2 * self.padding + 1
        flip = below(words[2], 2) if self.flip else np.zeros(len(index), np.int64)
        return np.stack([below(words[0], positions), below(words[1], positions), flip])

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return the `view` of samples `index[B]`, which are `images[B, C, H, W]` uint8: same shape and dtype.

        Raises
        ------
        ValueError
            If reflect padding is not smaller than the image.
        """
        parameters = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(parameters, images.device))

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[3, B]` describe: same shape and dtype.

        Raises
        ------
        ValueError
            If reflect padding is not smaller than the image.
        """
        top, left, flip = parameters
        y, x = rows_of(images) + (top - self.padding)[:, None], columns_of(images)
        x = torch.where(flip[:, None] == 1, images.shape[3] - 1 - x, x) + (left - self.padding)[:, None]
        return shifted(images, y, x, self.padding, self.padding_mode)

    def augment_pictures(
        self, pictures: Iterable[Image.Image], crop: CentreCrop, index: NDArray[np.int64], view: ArrayLike
    ) -> Iterator[Tensor]:
        """Cut the middle out of each picture, then augment it as an image in memory: uint8 [3, size, size]."""
        parameters = torch.from_numpy(self.parameters(index, view, crop.size, crop.size))
        for picture, own in zip(pictures, parameters.split(1, dim=1), strict=True):
            yield self.apply(crop(picture)[None], own)[0]
