"""Grey pictures of 16 or 32 bits or of floats: their values are scaled to bytes.

Pillow's own conversion cuts such values off at 255 instead of scaling them, which makes a picture all white or all
black.
"""

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

WHITE_IS_ZERO = 0  # a TIFF's photometric interpretation
UNSIGNED = 1  # a TIFF's sample format
SIXTEEN_BITS = 65535.0
STEPS = 256 - 1e-3  # torchvision's factor from 0..1 to bytes: 16 bits lose their lower eight, as Pillow's of RGB do

Range = tuple[float, float]


def is_deep(picture: Image.Image) -> bool:
    """Return whether a grey value of `picture` takes more than a byte."""
    return picture.mode in ("I", "F") or picture.mode.startswith("I;")


def implied_range(picture: Image.Image) -> Range | None:
    """Return the smallest and largest value that the format of a deep `picture` allows, or None if it allows any.

    A format of unsigned integers of 12 or 16 bits does imply them. One of 32 bits, signed numbers or floats does not,
    for nobody fills such a range.
    """
    if picture.mode.startswith("I;"):
        bits = picture.tag_v2.get(BITSPERSAMPLE, (16,))[0] if isinstance(picture, TiffImageFile) else 16
        return 0.0, float(2**bits - 1)
    # Pillow opens 16 bits of these as 32, and scales what a PGM calls white to 65,535
    return (0.0, SIXTEEN_BITS) if picture.mode == "I" and picture.format in ("PNG", "PPM") else None


def scaled_to_bytes(picture: Image.Image, values: Range) -> Image.Image:
    """Return a deep grey `picture` with `values[0]` as black and `values[1]` as white, in mode L.

    Values outside of the range become black or white. In a TIFF that says so, the largest value is black.

    Raises
    ------
    ValueError
        If a value is not a finite number.
    """
    low, high = values
    grey = np.asarray(picture)
    if _is_uint32(picture):
        grey = grey.view(np.uint32)
    if not np.isfinite(grey).all():
        raise ValueError("it holds values that are not finite numbers")
    grey = grey.astype(np.float64)
    if _white_is_zero(picture):
        grey *= -1
        low, high = -high, -low
    grey -= low
    grey *= STEPS / (high - low)
    return Image.fromarray(np.clip(grey, 0, 255, out=grey).astype(np.uint8))


def _white_is_zero(picture: Image.Image) -> bool:
    return isinstance(picture, TiffImageFile) and picture.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO


def _is_uint32(picture: Image.Image) -> bool:
    """Return whether Pillow has put unsigned numbers of 32 bits into the signed ones of its mode I."""
    if not isinstance(picture, TiffImageFile) or picture.mode != "I":
        return False
    return picture.tag_v2.get(SAMPLEFORMAT, (UNSIGNED,))[0] == UNSIGNED and picture.tag_v2.get(BITSPERSAMPLE) == (32,)
