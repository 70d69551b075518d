"""From a picture of any size to an image of the size that models see: the evaluation transform of large data sets."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The shorter side is scaled to `resize` pixels, then the middle of `size` x `size` is cut out."""

    size: int
    resize: int

    def centred(self, picture: Image.Image) -> Tensor:
        """`picture` (RGB) as uint8 [3, size, size]; bilinear and antialiased, as torchvision has it."""
        if min(picture.size) != self.resize:
            picture = functional.resize(picture, [self.resize])
        return as_pixels(functional.center_crop(picture, [self.size, self.size]))


def as_pixels(picture: Image.Image) -> Tensor:
    """An RGB `picture` as uint8 [3, H, W]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
