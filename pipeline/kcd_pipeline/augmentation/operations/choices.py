"""The sets of changes that RandAugment and TrivialAugment draw from, with how strong each is.

Letters: n samples, A amounts of a change.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.augmentation.operations import affine
from kcd_pipeline.augmentation.operations.changes import CHANGES, NOTHING, Change, factor, move

Floats = NDArray[np.float64]
# strength[n] from 0 to 1, sign[n], height and width of the image: amounts[A, n]
Amounts = Callable[[Floats, Floats, int, int], NDArray[np.int64]]

IDENTITY, MOVE = "identity", "move"
NAMES = (MOVE, *CHANGES)


@dataclass(frozen=True)
class Choice:
    """One of the changes that may be drawn.

    Attributes
    ----------
    change
        A name of `CHANGES`, `move`, or `identity`.
    amounts
        How its amounts follow from the strength; None if it has none.
    """

    change: str
    amounts: Amounts | None = None


def all_changes(*, interpolation: str, fill: int) -> list[Change]:
    """Return all changes in the order of their numbers."""
    return [move(bilinear=interpolation == "bilinear", fill=fill), *CHANGES.values()]


def number_of(change: str) -> int:
    """Return the number of a change among `all_changes`."""
    return NOTHING if change == IDENTITY else NAMES.index(change)


def _moves(*, shear: float, shift: tuple[float, float], whole: bool, degrees: float) -> tuple[Choice, ...]:
    """Return shears, shifts and the rotation of a set.

    Parameters
    ----------
    shear
        Largest shear, as a tangent.
    shift
        Largest shift, as a fraction of the width or height, and beside it in pixels.
    whole
        True if shifts are cut to whole pixels, towards 0.
    degrees
        Largest rotation.
    """

    def pixels(strength: Floats, sign: Floats, size: int) -> Floats:
        distance = (sign * strength * (shift[0] * size + shift[1])).round(6)  # whole numbers stay whole
        return np.trunc(distance) if whole else distance

    return (
        Choice(MOVE, lambda strength, sign, height, width: affine.shear_x(sign * shear * strength)),
        Choice(MOVE, lambda strength, sign, height, width: affine.shear_y(sign * shear * strength)),
        Choice(MOVE, lambda strength, sign, height, width: affine.translate_x(pixels(strength, sign, width))),
        Choice(MOVE, lambda strength, sign, height, width: affine.translate_y(pixels(strength, sign, height))),
        Choice(MOVE, lambda strength, sign, height, width: affine.rotate(sign * degrees * strength, height, width)),
    )


def _factors(limit: float, *, least: float = 0.0) -> tuple[Choice, ...]:
    """Return the changes by a factor, which is at most `limit` away from 1 and never below `least`."""

    def amounts(strength: Floats, sign: Floats, height: int, width: int) -> NDArray[np.int64]:
        return factor(np.maximum(1 + sign * limit * strength, least))[None]

    return tuple(Choice(name, amounts) for name in ("brightness", "saturation", "contrast", "sharpness"))


def _posterize(lost: int) -> Choice:
    """Return the change that takes up to `lost` of the eight bits."""
    return Choice("posterize", lambda strength, *_: (8 - np.rint(lost * strength))[None].astype(np.int64))


# bytes from 255 * (1 - strength) on are inverted; a whole number stays one, though its float64 may be just above it
_SOLARIZE = Choice("solarize", lambda strength, *_: np.ceil((255 * (1 - strength)).round(6))[None].astype(np.int64))

USUAL = (  # RandAugment of torchvision
    Choice(IDENTITY),
    *_moves(shear=0.3, shift=(150 / 331, 0), whole=True, degrees=30),
    *_factors(0.9),
    _posterize(4),
    _SOLARIZE,
    Choice("autocontrast"),
    Choice("equalize"),
)

TRIVIAL = (  # TrivialAugmentWide of torchvision
    Choice(IDENTITY),
    *_moves(shear=0.99, shift=(0, 32), whole=True, degrees=135),
    *_factors(0.99),
    _posterize(6),
    _SOLARIZE,
    Choice("autocontrast"),
    Choice("equalize"),
)

GROWING = (  # RandAugment of timm with `inc1`
    Choice("autocontrast"),
    Choice("equalize"),
    Choice("invert"),
    *_moves(shear=0.3, shift=(0.45, 0), whole=False, degrees=30),
    *_factors(0.9, least=0.1),
    Choice("posterize", lambda strength, *_: (4 - np.trunc(4 * strength))[None].astype(np.int64)),
    Choice("solarize", lambda strength, *_: (256 - np.trunc(256 * strength))[None].astype(np.int64)),
    Choice("solarize-add", lambda strength, *_: np.trunc(110 * strength)[None].astype(np.int64)),
)
