"""Picture files as they come: each mode and depth ends with the right pixels, or is refused by name."""

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin
from torchvision.datasets.folder import pil_loader
from torchvision.transforms.v2 import functional

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import load_dataset
from kcd_pipeline.data.pictures.picture import Reading, open_picture, used_range
from kcd_pipeline.errors import UserError

EVERY_16_BITS = np.arange(65536, dtype=np.uint16).reshape(256, 256)
HIGH_BYTE = (EVERY_16_BITS >> 8).astype(np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)


def reading(**more: Any) -> Reading:
    return Reading(**{"max_pixels": 10**6} | more)


def pixels(path: Path, **more: Any) -> NDArray[np.uint8]:
    picture = open_picture(path, reading(**more))
    assert picture.mode == "RGB"
    return np.asarray(picture)


def grey(path: Path, **more: Any) -> NDArray[np.uint8]:
    """Return the one channel of a picture whose three are alike."""
    found = pixels(path, **more)
    assert (found == found[..., :1]).all()
    return found[..., 0]


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        open_picture(path, reading(**more))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def saved(path: Path, values: NDArray[Any], **more: Any) -> Path:
    Image.fromarray(values).save(path, **more)
    return path


# --- grey values of more than 8 bits ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "pgm", "jp2"])
def test_16_bits_lose_their_lower_eight_as_those_of_colours_do(tmp_path: Path, ending: str) -> None:
    more = {"irreversible": False} if ending == "jp2" else {}
    path = saved(tmp_path / f"a.{ending}", EVERY_16_BITS, **more)
    assert np.array_equal(grey(path), HIGH_BYTE)


def test_big_endian_16_bits_are_the_same_numbers(tmp_path: Path) -> None:
    Image.frombytes("I;16B", (256, 256), EVERY_16_BITS.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    assert np.array_equal(grey(tmp_path / "a.tif"), HIGH_BYTE)


def test_where_zero_is_white_the_picture_is_not_its_negative(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", EVERY_16_BITS, tiffinfo={TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 0})
    with Image.open(path) as file:
        assert file.tag_v2[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] == 0  # type: ignore[attr-defined]
        stored = np.asarray(file)
    assert np.array_equal(grey(path), ((65535 - stored.astype(int)) >> 8).astype(np.uint8))


def test_a_range_of_12_bits_is_spread_over_the_bytes(tmp_path: Path) -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    path = saved(tmp_path / "a.png", values)
    assert np.array_equal(grey(path, pixel_range=(0, 4095)), (values >> 4).astype(np.uint8))
    assert grey(path).max() == 15


def test_floats_are_spread_over_the_range_that_is_given(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.float32).reshape(16, 16)
    path = saved(tmp_path / "a.tif", levels / 255)
    assert np.array_equal(grey(path, pixel_range=(0, 1)), levels)
    whole = saved(tmp_path / "b.tif", levels * 2 - 10)
    assert np.array_equal(grey(whole, pixel_range=(-10, 500)), levels)
    assert (grey(whole, pixel_range=(600, 700)) == 0).all()  # below the range: black
    assert (grey(whole, pixel_range=(-90, -80)) == 255).all()


def test_numbers_of_32_bits_are_spread_over_the_range_that_is_given(tmp_path: Path) -> None:
    levels = np.arange(256).reshape(16, 16)
    signed = saved(tmp_path / "signed.tif", (levels * 1000 - 5000).astype(np.int32))
    assert np.array_equal(grey(signed, pixel_range=(-5000, 250_000)), levels)
    unsigned = saved(tmp_path / "a.tif", (levels * 2**24 + 2**23).astype(np.uint32).view(np.int32))
    entry = struct.pack("<HHI", TiffImagePlugin.SAMPLEFORMAT, 3, 1)  # Pillow writes only signed ones
    unsigned.write_bytes(unsigned.read_bytes().replace(entry + b"\2", entry + b"\1"))
    assert np.array_equal(grey(unsigned, pixel_range=(0, 2**32 - 1)), levels)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.zeros((4, 4), np.float32), "floats"),
        (np.zeros((4, 4), np.int32), "of 32 bits, or signed"),
    ],
)
def test_values_of_unknown_range_are_refused(tmp_path: Path, values: NDArray[Any], kind: str) -> None:
    message = refusal(saved(tmp_path / "a.tif", values))
    assert f"is a grey picture whose values are {kind}" in message
    assert "Set data.pixel_range" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    path = saved(tmp_path / "a.tif", np.full((4, 4), value, np.float32))
    assert "holds values that are not finite numbers" in refusal(path, pixel_range=(0, 1))


def test_how_much_of_its_range_a_picture_uses(tmp_path: Path) -> None:
    deep = saved(tmp_path / "a.png", np.full((4, 4), 4095, np.uint16))
    assert used_range(deep, reading()) == pytest.approx(4095 / 65535)
    assert used_range(saved(tmp_path / "b.png", COLOURS), reading()) is None


# --- ordinary modes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "ending"),
    [(mode, "png") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    + [(mode, "jpg") for mode in ("L", "RGB", "CMYK")]
    + [(mode, "tif") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB")]
    + [("P", "gif"), ("RGB", "webp"), ("RGBA", "webp"), ("RGB", "bmp"), ("P", "bmp"), ("L", "pgm"), ("RGB", "jp2")],
)
def test_ordinary_pictures_are_those_of_torchvisions_loader(tmp_path: Path, mode: str, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if mode == "LAB":  # to which Pillow converts nothing
        Image.frombytes("LAB", (7, 9), COLOURS[..., :3].tobytes()).save(path)
    else:
        Image.fromarray(COLOURS).convert("RGB").convert(mode).save(path)
    assert np.array_equal(pixels(path), np.asarray(pil_loader(str(path))))


def test_transparency_of_a_palette_is_dropped_without_a_warning(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).convert("RGB").quantize(8).save(tmp_path / "a.png", transparency=b"\x00\x80\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixels(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, for which this test is
        assert np.array_equal(found, np.asarray(pil_loader(str(tmp_path / "a.png"))))


def test_a_file_is_what_its_content_says_but_no_program_is_run_for_it(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[..., :3]).save(tmp_path / "a.jpg", format="PNG")
    assert np.array_equal(pixels(tmp_path / "a.jpg"), COLOURS[..., :3])
    Image.fromarray(COLOURS[..., :3]).save(tmp_path / "b.png", format="EPS")  # Ghostscript's
    assert "cannot identify image file" in refusal(tmp_path / "b.png")


# --- EXIF orientation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_turns_a_picture_only_if_it_is_asked_to(tmp_path: Path, ending: str, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(COLOURS[..., :3]).save(path, exif=exif)
    lying = pixels(path)
    assert lying.shape == (9, 7, 3)
    assert np.array_equal(pixels(path, exif=True), np.rot90(lying, turns))


def test_settings_that_change_pixels_are_in_the_description_and_the_fingerprint(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.fromarray(COLOURS[..., :3]).save(tmp_path / split / "a" / "0.png", exif=exif)
        saved(tmp_path / split / "a" / "1.png", EVERY_16_BITS)

    def described(**more: Any) -> dict[str, Any]:
        given = {"name": "imagefolder", "root": tmp_path, "image_size": 8, "workers": 0, "mean": [0.5] * 3}
        return load_dataset(DataConfig.model_validate(given | {"std": [0.5] * 3} | more)).description

    found = []
    for fly in (True, False):
        plain, turned = described(on_the_fly=fly), described(on_the_fly=fly, exif=True)
        ranged = described(on_the_fly=fly, pixel_range=[0, 4095])
        assert "exif" not in plain
        assert "pixel_range" not in plain
        assert (turned["exif"], ranged["pixel_range"]) == (True, [0, 4095])
        found += [facts["fingerprint"] for facts in (plain, turned, ranged)]
    assert len(set(found)) == 6


# --- bounds ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_picture_in_a_small_file_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (13_000, 13_000)).save(path)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(Image.Image, "convert", None)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    message = refusal(path, max_pixels=DataConfig(name="imagefolder").max_pixels)
    assert "has 13,000x13,000 pixels. That makes 169,000,000 of them, which would take about 2.4 GB" in message
    assert "data.max_pixels allows 89,478,485. Make the picture smaller, or raise data.max_pixels." in message


def test_a_strip_that_would_be_huge_once_it_is_scaled_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.zeros((2, 2000), np.uint8))
    with pytest.raises(
        UserError, match=r"has 2,000x2 pixels\. That makes 50,176,000 of them, when its shorter side is "
    ):
        open_picture(path, reading(), CentreCrop(size=224, resize=224))
    assert pixels(path).shape == (2, 2000, 3)


def test_the_scaled_size_is_that_of_torchvision() -> None:
    crop = CentreCrop(size=8, resize=31)
    for size in ((640, 427), (427, 640), (31, 500), (90, 90)):
        assert crop.scaled_size(*size) == functional.resize(Image.new("RGB", size), [31]).size


def test_lack_of_memory_is_not_the_files_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    path = saved(tmp_path / "a.png", COLOURS)
    monkeypatch.setattr(Image.Image, "convert", fails)
    with pytest.raises(MemoryError):
        open_picture(path, reading())
