"""Damaged picture files of every format are read or refused by name: no other error comes out of them."""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.data.pictures.picture import Reading, deep_mark, open_picture, used_range
from kcd_pipeline.errors import UserError

READINGS = (Reading(max_pixels=10**6), Reading(exif=True, pixel_range=(0, 1), max_pixels=10**6))
CROP = CentreCrop(size=8, resize=8)
KINDS = ("cut", "flipped", "header", "replaced", "inserted")
TRIES = 3000  # of the long loop: about 15 seconds


def encoded(picture: Image.Image, form: str, **more: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **more)
    return file.getvalue()


def pictures() -> Iterator[bytes]:
    """Yield a small picture in each format, mode and compression that is read."""
    pixels = np.add.outer(np.arange(14) * 9, np.arange(11) * 5)
    colours = Image.fromarray(np.stack([pixels, pixels[::-1], pixels[:, ::-1]], axis=2).astype(np.uint8))
    deep = [Image.fromarray(pixels.astype(dtype)) for dtype in (np.uint16, np.int32, np.float32)]
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield encoded(colours.convert(mode), "PNG")
        yield encoded(colours.convert(mode), "TIFF")
    for mode in ("L", "RGB", "CMYK"):
        yield encoded(colours.convert(mode), "JPEG", exif=exif)
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        yield encoded(colours, "TIFF", compression=compression)
    for picture in deep:
        yield encoded(picture, "TIFF")
    for form in ("PNG", "PPM", "JPEG2000"):
        yield encoded(deep[0], form)
    for form in ("PPM", "BMP", "GIF", "WEBP", "AVIF", "JPEG2000"):
        yield encoded(colours, form)
    yield encoded(colours, "PNG", exif=exif, save_all=True, append_images=[colours])
    yield encoded(colours, "GIF", save_all=True, append_images=[colours.rotate(90)])


WHOLE = list(pictures())


def damaged(content: bytes, kind: str, place: int, value: int) -> bytes:
    place %= len(content)
    match kind:
        case "cut":
            return content[:place]
        case "flipped":
            return content[:place] + bytes([content[place] ^ (1 << value % 8)]) + content[place + 1 :]
        case "header":
            return damaged(content, "flipped", place % 64, value)
        case "replaced":
            return content[:place] + bytes([value, 255, 0]) + content[place + 3 :]
        case _:
            return content[:place] + bytes([value] * 5) + content[place:]


def outcomes(path: Path) -> Iterator[str]:
    """Read `path` in each way; any error but UserError fails the test."""
    for reading in READINGS:
        for way in (deep_mark, used_range, evaluated):
            message = ""
            try:
                way(path, reading)
            except UserError as error:
                message = str(error)
            assert not message or str(path) in message
            assert "\n" not in message
            yield "refused" if message else "read"


def evaluated(path: Path, reading: Reading) -> Any:
    return CROP(open_picture(path, reading, CROP))


def test_each_of_them_is_read_when_it_is_whole(tmp_path: Path) -> None:
    for content in WHOLE:
        (tmp_path / "a.png").write_bytes(content)
        assert evaluated(tmp_path / "a.png", READINGS[1]).shape == (3, 8, 8)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.sampled_from(WHOLE),
    kind=st.sampled_from(KINDS),
    place=st.integers(0, 10_000),
    value=st.integers(0, 255),
)
def test_a_damaged_picture_is_read_or_refused(
    tmp_path: Path, content: bytes, kind: str, place: int, value: int
) -> None:
    (tmp_path / "a.png").write_bytes(damaged(content, kind, place, value))
    list(outcomes(tmp_path / "a.png"))


@pytest.mark.loops
@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
def test_thousands_of_damaged_pictures_are_read_or_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    found: Counter[str] = Counter()
    for _ in range(TRIES):
        whole, place, value = (int(random.integers(top)) for top in (len(WHOLE), 10_000, 256))
        content = damaged(WHOLE[whole], str(random.choice(KINDS)), place, value)
        (tmp_path / "a.png").write_bytes(content)
        found.update(outcomes(tmp_path / "a.png"))
    assert found["read"] > TRIES
    assert found["refused"] > TRIES
