"""Operations that crop: a shift within a border, and a box that is scaled up to the size of the image.

Letters: B samples of a batch.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.boxes import BOX_WORDS, draw_boxes, enlarged, scaled_box
from kcd_pipeline.augmentation.centre_crop import pixels_of
from kcd_pipeline.augmentation.operations.pictures import as_picture
from kcd_pipeline.augmentation.shifts import columns_of, rows_of, shifted
from kcd_stores.philox import below


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Shift an image by up to `padding` pixels each way: torchvision's RandomCrop to the size that the image has.

    Attributes
    ----------
    padding_mode
        Pixels that a shift brings in: `zeros`, or the mirror image of the edge, `reflect`.
    """

    padding: int
    padding_mode: str

    words = 2

    def describe(self) -> dict[str, Any]:
        return {"name": "crop", **asdict(self)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw top and left of the crop in the padded image, 0 .. 2 * padding: `[2, B]`."""
        return below(words, 2 * self.padding + 1)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        top, left = parameters
        y, x = rows_of(images) + (top - self.padding)[:, None], columns_of(images) + (left - self.padding)[:, None]
        return shifted(images, y, x, self.padding, self.padding_mode)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        images = pixels_of(picture)[None]
        return as_picture(self.apply(images, torch.from_numpy(parameters[:, None]), parameters[:, None])[0])


@dataclass(frozen=True, kw_only=True)
class ResizedCrop:
    """Cut out a random box and scale it to the size of the image: torchvision's RandomResizedCrop, bilinear.

    Images in memory are scaled in fixed point without antialiasing, which enlarging needs none of; pictures by Pillow.

    Attributes
    ----------
    scale
        Smallest and largest area of the box, as a fraction of the image.
    ratio
        Smallest and largest aspect of the box, width over height.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float]

    words = BOX_WORDS

    def describe(self) -> dict[str, Any]:
        return {"name": "resized-crop", "scale": list(self.scale), "ratio": list(self.ratio)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw top, left, height and width of the box in pixels: `[4, B]`; see `draw_boxes`."""
        return draw_boxes(words, height, width, scale=self.scale, ratio=self.ratio)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        return enlarged(images, parameters)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        return scaled_box(picture, parameters, *picture.size)

    def cut(self, picture: Image.Image, words: NDArray[np.uint32], size: int) -> Image.Image:
        """Return the box of a `picture` of any size that is drawn from `words[W]`, scaled to `size` x `size` pixels."""
        box = self.parameters(words[:, None], picture.height, picture.width)[:, 0]
        return scaled_box(picture, box, size, size)
