"""RandAugment and TrivialAugment: changes that are drawn by lot from a set.

Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space" (CVPR Workshops 2020),
and Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" (ICCV 2021), each with the
changes and strengths of torchvision; RandAugment with those of timm too, whose changes all grow with the magnitude.

Letters: B samples of a batch, L changes one after the other, A amounts of a change.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.operations.changes import AMOUNTS, NOTHING, change_batch, change_picture
from kcd_pipeline.augmentation.operations.choices import GROWING, TRIVIAL, USUAL, Choice, all_changes, number_of
from kcd_stores.philox import below, uniform

WORDS = 5  # of a layer: which change, its sign, whether it is made, and two of its magnitude
ROWS = 1 + AMOUNTS  # of a layer's parameters: the number of the change, and its amounts
TOP, GROWING_TOP = 30, 10  # largest magnitude of torchvision's 31, and of timm's


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """Make `number` changes, each drawn from a set of 14, or of 15 if `increasing`.

    Attributes
    ----------
    magnitude
        Strength of all changes: 0 to 30 as torchvision counts it, 0 to 10 as timm does if `increasing`.
    magnitude_std
        Standard deviation of a normal distribution around it, from which each magnitude is drawn, and then held within
        the bounds.
    increasing
        True for timm's set, in which all changes grow with the magnitude.
    probability
        With which each of the changes is made.
    interpolation
        `nearest` or `bilinear`: how pixels of moved pictures are found.
    fill
        Byte of pixels that come from outside the picture.
    """

    number: int
    magnitude: float
    magnitude_std: float
    increasing: bool
    probability: float
    interpolation: str
    fill: int

    @property
    def words(self) -> int:
        return WORDS * self.number

    def describe(self) -> dict[str, Any]:
        return {"name": "randaugment", **asdict(self)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw, for each change, its number and amounts: `[L * (1 + A), B]`."""
        choices, top = (GROWING, GROWING_TOP) if self.increasing else (USUAL, TOP)
        layers = []
        for layer in words.reshape(self.number, WORDS, -1):
            magnitude = self.magnitude + self.magnitude_std * _normal(layer[3], layer[4])
            chosen = below(layer[0], len(choices))
            drawn = _draw(choices, chosen, magnitude.clip(0, top) / top, layer[1], height, width)
            drawn[0, uniform(layer[2]) >= self.probability] = NOTHING
            layers.append(drawn)
        return np.concatenate(layers)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        changes = all_changes(interpolation=self.interpolation, fill=self.fill)
        for start in range(0, len(drawn), ROWS):
            part = slice(start, start + ROWS)
            images = change_batch(changes, images, parameters[part], drawn[part])
        return images

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        changes = all_changes(interpolation=self.interpolation, fill=self.fill)
        for start in range(0, len(parameters), ROWS):
            picture = change_picture(changes, picture, parameters[start : start + ROWS])
        return picture


@dataclass(frozen=True, kw_only=True)
class TrivialAugment:
    """Make one change, drawn from a set of 14, with one of 31 strengths, drawn too: TrivialAugment (wide).

    Attributes
    ----------
    interpolation
        `nearest` or `bilinear`: how pixels of moved pictures are found.
    fill
        Byte of pixels that come from outside the picture.
    """

    interpolation: str
    fill: int

    words = 3

    def describe(self) -> dict[str, Any]:
        return {"name": "trivialaugment", **asdict(self)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw the number and the amounts of the change: `[1 + A, B]`."""
        chosen, strength = below(words[0], len(TRIVIAL)), below(words[2], TOP + 1).astype(np.float64) / TOP
        return _draw(TRIVIAL, chosen, strength, words[1], height, width)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        changes = all_changes(interpolation=self.interpolation, fill=self.fill)
        return change_batch(changes, images, parameters, drawn)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        changes = all_changes(interpolation=self.interpolation, fill=self.fill)
        return change_picture(changes, picture, parameters)


def _draw(
    choices: Sequence[Choice],
    chosen: NDArray[np.int64],
    strength: NDArray[np.float64],
    sign: NDArray[np.uint32],
    height: int,
    width: int,
) -> NDArray[np.int64]:
    """Return the numbers and amounts `[1 + A, B]` of the changes `chosen[B]`, of `strength[B]` from 0 to 1.

    Parameters
    ----------
    sign
        Words `[B]`: with half of them a change goes the other way.
    """
    drawn = np.zeros((ROWS, len(chosen)), np.int64)
    signs = 1.0 - 2.0 * below(sign, 2)
    for number in np.unique(chosen):
        choice, places = choices[number], np.flatnonzero(chosen == number)
        drawn[0, places] = number_of(choice.change)
        if choice.amounts is not None:
            amounts = choice.amounts(strength[places], signs[places], height, width)
            drawn[1 : 1 + len(amounts), places] = amounts
    return drawn


def _normal(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return numbers `[B]` of the standard normal distribution from two words each (Box and Muller, 1958)."""
    radius: NDArray[np.float64] = np.sqrt(-2 * np.log1p(-uniform(first)))
    return radius * np.cos(2 * np.pi * uniform(second))
