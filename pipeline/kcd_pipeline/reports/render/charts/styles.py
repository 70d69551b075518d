"""The looks of arms: no two have the same colour, dashes and point shape, and each alone tells some apart.

The colours follow Okabe and Ito, "Color Universal Design" (2008), darkened or lightened until each has a contrast of
3 to 1 against the page, as WCAG 2.2 asks of graphics (success criterion 1.4.11).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LIGHT_COLOURS = ("#0072B2", "#D55E00", "#008A64", "#AA4499", "#8A6D00", "#2F8FC9", "#1D2939")
DARK_COLOURS = ("#56B4E9", "#FF8C4A", "#2FC39A", "#E58FC6", "#E0B32E", "#9FB4FF", "#E4E7EC")
DASHES: tuple[tuple[float, ...], ...] = ((1, 0), (7, 3), (2, 2), (9, 3, 2, 3), (5, 2, 2, 2, 2, 2))
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")


@dataclass(frozen=True, kw_only=True)
class ArmStyle:
    """The look of one arm.

    Attributes
    ----------
    number
        The arm's number among the arms, from 0.
    colour
        Its place in `LIGHT_COLOURS` and `DARK_COLOURS`.
    dash
        Lengths of dashes and gaps in pixels, in turn.
    shape
        A Vega point shape.
    """

    number: int
    colour: int
    dash: tuple[float, ...]
    shape: str


def styles(arms: Sequence[Any]) -> tuple[ArmStyle, ...]:
    """Return a look for each of `arms`; no two are equal among the first 245.

    The first seven differ in colour and in shape at once. Each following seven have other dashes, and their shapes are
    shifted against the colours, so that dashes that are used again come with other shapes.
    """
    found = []
    for number in range(len(arms)):
        lap, place = divmod(number, len(LIGHT_COLOURS))
        shape = SHAPES[(place + lap) % len(SHAPES)]
        found.append(ArmStyle(number=number, colour=place, dash=DASHES[lap % len(DASHES)], shape=shape))
    return tuple(found)
