"""Operations that mirror or turn a picture without computing a pixel anew.

Letters: B samples of a batch.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_stores.philox import below, uniform


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirror with a `probability`: torchvision's RandomHorizontalFlip or RandomVerticalFlip.

    Attributes
    ----------
    direction
        `horizontal` exchanges left and right, `vertical` top and bottom.
    """

    probability: float
    direction: str

    words = 1

    def describe(self) -> dict[str, Any]:
        return {"name": "flip", **asdict(self)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw whether to mirror: `[1, B]`."""
        return (uniform(words) < self.probability).astype(np.int64)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        mirrored = images.flip(3 if self.direction == "horizontal" else 2)
        return torch.where((parameters[0] == 1)[:, None, None, None], mirrored, images)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        if not parameters[0]:
            return picture
        sides = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM
        return picture.transpose(sides[0] if self.direction == "horizontal" else sides[1])


@dataclass(frozen=True, kw_only=True)
class QuarterTurn:
    """Turn a square image by 0, 90, 180 or 270 degrees counterclockwise, each as probable as the others."""

    words = 1

    def describe(self) -> dict[str, Any]:
        return {"name": "quarter-turn"}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw the number of quarter turns, 0..3: `[1, B]`.

        Raises
        ------
        ValueError
            If the images are not square.
        """
        if height != width:
            raise ValueError(f"quarter-turn needs square images, and these have {height}x{width} pixels")
        return below(words, 4)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        turns = parameters[0][:, None, None, None]
        images = torch.where(turns >= 2, images.flip((2, 3)), images)
        return torch.where(turns % 2 == 1, images.transpose(2, 3).flip(2), images)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        turned = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
        transpose = turned[int(parameters[0])]
        return picture if transpose is None else picture.transpose(transpose)
