"""Operations on the colours of a whole picture.

Letters: B samples of a batch, C channels, H and W pixels.
"""

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.operations.changes import CHANGES, NOTHING, change_batch, change_picture, factor
from kcd_stores.philox import below, uniform

JITTERS = ("brightness", "contrast", "saturation", "hue")
ORDERS = np.array(list(itertools.permutations(range(len(JITTERS)))))


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Change brightness, contrast, saturation and hue by random amounts in a random order: torchvision's ColorJitter.

    Attributes
    ----------
    brightness, contrast, saturation
        Largest distance of the factor from 1; 0 leaves it out.
    hue
        Largest part of a turn of the colour circle, up to one half.
    probability
        With which a view is changed at all.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    probability: float

    words = 6

    def describe(self) -> dict[str, Any]:
        return {"name": "color-jitter", **asdict(self)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw the four changes in their order, each as its number above its amount: `[8, B]`."""
        order = ORDERS[below(words[0], len(ORDERS))].T
        limits = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        parts = uniform(words[1:5])
        lowest = np.maximum(1 - limits[:3], 0)[:, None]
        factors = factor(lowest + (1 + limits[:3, None] - lowest) * parts[:3])
        # of 255 steps to a turn, towards 0 to whole ones, as torchvision does
        turn = np.trunc(255 * self.hue * (2 * parts[3] - 1)).astype(np.int64)
        amounts = np.take_along_axis(np.concatenate([factors, turn[None]]), order, axis=0)
        done = (uniform(words[5]) < self.probability) & (limits > 0)[order]
        return np.stack([np.where(done, order, NOTHING), amounts], axis=1).reshape(2 * len(JITTERS), -1)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        changes = [CHANGES[name] for name in JITTERS]
        for start in range(0, len(drawn), 2):
            part = slice(start, start + 2)
            images = change_batch(changes, images, parameters[part], drawn[part])
        return images

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        changes = [CHANGES[name] for name in JITTERS]
        for start in range(0, len(parameters), 2):
            picture = change_picture(changes, picture, parameters[start : start + 2])
        return picture


@dataclass(frozen=True, kw_only=True)
class Grayscale:
    """Take the colour out with a `probability`: torchvision's RandomGrayscale."""

    probability: float

    words = 1

    def describe(self) -> dict[str, Any]:
        return {"name": "grayscale", **asdict(self)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw whether colour is taken out, 0, or not, -1: `[1, B]`."""
        return np.where(uniform(words) < self.probability, 0, NOTHING)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        return change_batch([CHANGES["grayscale"]], images, parameters, drawn)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        return change_picture([CHANGES["grayscale"]], picture, parameters)
