"""Crop a random box, scale it to the full size, mirror: the augmentation of ImageNet training.

Images in memory are scaled in fixed point, so that a pixel is the same on every device and in every batch. Pictures
that are decoded one by one are cropped at their own size, and scaled as Pillow and torchvision scale them.

Letters: B samples of a batch, C channels, H and W pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.boxes import BOX_WORDS, draw_boxes, enlarged, scaled_box
from kcd_pipeline.augmentation.centre_crop import CentreCrop, pixels_of
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import below, draws


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
        """Draw top, left, height and width of the box in pixels, and whether to mirror: `[5, B]`; see `draw_boxes`."""
        words = draws(self.seed, index, view, BOX_WORDS + 1)
        boxes = draw_boxes(words, height, width, scale=self.scale, ratio=self.ratio)
        return np.concatenate([boxes, self._mirrored(words)[None]])

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return the `view` of samples `index[B]`, which are `images[B, C, H, W]` uint8: same shape and dtype."""
        parameters = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(parameters, images.device))

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[5, B]` describe: same shape and dtype."""
        return enlarged(images, parameters[:4], parameters[4] == 1)

    def augment_pictures(
        self, pictures: Iterable[Image.Image], crop: CentreCrop, index: NDArray[np.int64], view: ArrayLike
    ) -> Iterator[Tensor]:
        """Cut its box out of each picture and scale it, bilinear and antialiased: uint8 [3, size, size]."""
        words = draws(self.seed, index, view, BOX_WORDS + 1)
        mirrored = self._mirrored(words)
        for k, picture in enumerate(pictures):
            box = draw_boxes(words[:, [k]], picture.height, picture.width, scale=self.scale, ratio=self.ratio)[:, 0]
            scaled = scaled_box(picture, box, crop.size, crop.size)
            yield pixels_of(scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored[k] else scaled)

    def _mirrored(self, words: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return 1 for each view that is mirrored and 0 for the others, `[B]`."""
        return below(words[-1], 2) if self.flip else np.zeros(words.shape[1], np.int64)
