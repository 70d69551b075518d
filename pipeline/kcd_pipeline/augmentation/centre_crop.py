"""The evaluation transform of large data sets: a picture of any size becomes an image of the size that models take."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CentreCrop:
    """Scale the shorter side of a picture to `resize` pixels, then cut `size` x `size` pixels out of the middle."""

    size: int
    resize: int

    def __call__(self, picture: Image.Image) -> Tensor:
        """Return an RGB `picture` as uint8 [3, size, size], scaled bilinearly and antialiased as torchvision does."""
        return pixels_of(self.cut(picture))

    def cut(self, picture: Image.Image) -> Image.Image:
        """Return the middle of a `picture` of any mode, scaled."""
        from torchvision.transforms.v2 import functional  # a second to load, which images in memory do not need

        if min(picture.size) != self.resize:
            picture = functional.resize(picture, [self.resize])
        return functional.center_crop(picture, [self.size, self.size])

    def scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of a picture of `width` x `height` before its middle is cut out."""
        shorter = min(width, height)
        return self.resize * width // shorter, self.resize * height // shorter


def pixels_of(picture: Image.Image) -> Tensor:
    """Return an RGB `picture` as uint8 [3, H, W], the channels of a pixel side by side in memory as Pillow has them."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
