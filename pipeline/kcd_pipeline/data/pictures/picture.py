"""Picture files: how they are read, checked before they are decoded, and named if they cannot be read."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.pictures.grey import Range, implied_range, is_deep, scaled_to_bytes
from kcd_pipeline.data.pictures.source import PictureFile
from kcd_pipeline.data.pictures.unreadable import cannot_be_read, printable
from kcd_pipeline.errors import UserError
from kcd_stores.sizes import human_bytes

TORCHVISIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
ENDINGS = (*TORCHVISIONS, ".jfif", ".jpe", ".gif", ".avif", ".jp2")  # of files that are taken as pictures
# A file is what its content says; Pillow would hand some formats, such as EPS, to another program
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
BYTES_A_PIXEL = 14  # while it is decoded: the file's own form, RGB as Pillow keeps it, and two copies as bytes

# data.max_pixels refuses such pictures, or the user has raised it
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Settings by which a file becomes an RGB picture.

    Attributes
    ----------
    exif
        True if a picture is turned as its EXIF orientation says.
    pixel_range
        Values of deep grey pictures (more than 8 bits) that are black and white; None: as the format implies.
    max_pixels
        Larger pictures are refused before they are decoded.
    """

    exif: bool = False
    pixel_range: Range | None = None
    max_pixels: int

    @classmethod
    def from_config(cls, config: DataConfig) -> "Reading":
        """Return the settings of the section `data` of a recipe."""
        return cls(exif=config.exif, pixel_range=config.pixel_range, max_pixels=config.max_pixels)

    def describe(self) -> dict[str, Any]:
        """Return the settings that the pixels depend on and that are not the defaults, as a store records them."""
        turned = {"exif": True} if self.exif else {}
        return turned if self.pixel_range is None else turned | {"pixel_range": list(self.pixel_range)}

    def grey_range(self, picture: Image.Image, name: str) -> Range | None:
        """Return the values of a deep grey `picture` that become black and white; None for an ordinary picture.

        Raises
        ------
        UserError
            If neither the setting nor the format says.
        """
        if not is_deep(picture):
            return None
        values = self.pixel_range or implied_range(picture)
        if values is None:
            kind = "floats" if picture.mode == "F" else "of 32 bits, or signed"
            raise UserError(
                f"{name} is a grey picture whose values are {kind}, and its format does not say which of "
                f"them are black and white. Set data.pixel_range to these two, such as [0, 1]."
            )
        return values


def open_picture(
    file: PictureFile,
    reading: Reading,
    crop: CentreCrop | None = None,
    *,
    name: str | None = None,
    admit: Callable[[int], Any] | None = None,
) -> Image.Image:
    """Return the picture in `file`, decoded as RGB; its transparency is dropped, as torchvision does.

    Parameters
    ----------
    file
        Its path, or an open file, which is closed.
    crop
        How the picture will be evaluated, which must stay within `reading.max_pixels` too.
    name
        How messages call it; None: by its path.
    admit
        Called with the number of pixels before they are decoded.

    Raises
    ------
    UserError
        If it cannot be read, is too large, or has grey values of unknown range.
    """
    name = _name(file, name)
    with _opened(file, name) as picture:
        _require_bounded(picture, name, reading, crop)
        if admit is not None:
            admit(picture.width * picture.height)
        return _decode(picture, name, reading)


def deep_mark(file: PictureFile, reading: Reading, *, name: str | None = None) -> bytes:
    """Return the range of grey values in which `file` will be read, as bytes; none for an ordinary picture.

    Raises
    ------
    UserError
        As for `open_picture`, as far as the head of the file tells.
    """
    name = _name(file, name)
    with _opened(file, name) as picture:
        values = reading.grey_range(picture, name)
    return b"" if values is None else repr(values).encode()


def used_range(file: PictureFile, reading: Reading, *, name: str | None = None) -> float | None:
    """Return the largest grey value of `file` as a fraction of its range; None for an ordinary picture.

    Raises
    ------
    UserError
        As for `open_picture`.
    """
    name = _name(file, name)
    with _opened(file, name) as picture:
        values = reading.grey_range(picture, name)
        if values is None:
            return None
        _require_bounded(picture, name, reading, None)
        return (float(np.asarray(picture).max()) - values[0]) / (values[1] - values[0])


@contextmanager
def reading_bytes(file: PictureFile, name: str) -> Iterator[BinaryIO]:
    """Open the bytes of `file`, and close it.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        with closing(file.open("rb") if isinstance(file, Path) else file) as opened:
            yield opened
    except OSError as error:
        raise cannot_be_read(name, error) from error


@contextmanager
def _opened(file: PictureFile, name: str) -> Iterator[Image.Image]:
    """Open `file` without decoding it, and name it in the error if this or what is done with it fails."""
    try:
        with (
            nullcontext() if isinstance(file, Path) else closing(file),
            Image.open(file, formats=_formats()) as picture,
        ):
            yield picture
    except (UserError, MemoryError):  # memory is the machine's, not the file's
        raise
    except Exception as error:  # Pillow raises almost anything of bytes that are damaged
        if isinstance(error, OSError) and error.errno is not None:
            raise cannot_be_read(name, error) from error
        # of an open file, Pillow says where in memory it lies
        reason = "cannot identify image file" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(f"{name} cannot be read as an image: {reason}. Mend or remove the file.") from error


def _decode(picture: Image.Image, name: str, reading: Reading) -> Image.Image:
    values = reading.grey_range(picture, name)
    if reading.exif:
        ImageOps.exif_transpose(picture, in_place=True)
    picture.load()
    if values is not None:
        return scaled_to_bytes(picture, values).convert("RGB")
    picture.info.pop("transparency", None)  # it has no place in RGB, but Pillow would warn of it
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy one that is RGB


def _require_bounded(picture: Image.Image, name: str, reading: Reading, crop: CentreCrop | None) -> None:
    """Raise if the picture has no pixels, or if it, or what `crop` scales it to, has more than `max_pixels`."""
    width, height = picture.size
    if not width or not height:
        raise ValueError(f"it has {width}x{height} pixels")
    forms = {"": (width, height)}
    if crop is not None:
        forms[f", when its shorter side is scaled to {crop.resize}"] = crop.scaled_size(width, height)
    for form, (columns, rows) in forms.items():
        if columns * rows > reading.max_pixels:
            raise UserError(
                f"{name} has {width:,}x{height:,} pixels. That makes {columns * rows:,} of them{form}, which "
                f"would take about {human_bytes(columns * rows * BYTES_A_PIXEL)} of memory, and data.max_pixels allows "
                f"{reading.max_pixels:,}. Make the picture smaller, or raise data.max_pixels."
            )


def _name(file: PictureFile, name: str | None) -> str:
    return name or printable(file if isinstance(file, Path) else getattr(file, "name", "an image"))


@cache
def _formats() -> tuple[str, ...]:
    """Return FORMATS, but for those that this build of Pillow lacks."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
