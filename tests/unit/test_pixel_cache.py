"""Decoded pictures are kept: the next start takes their pixels if they are whole, and decodes what has changed."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import load_dataset
from kcd_pipeline.data.pictures import in_memory, pixel_cache
from kcd_pipeline.data.pictures.picture import open_picture
from kcd_pipeline.errors import UserError

NORMALISATION = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}  # so that nothing else is decoded
LABELS = "aab"


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kcd-pipeline"


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    """Three training pictures, of seeds 0 to 2, and three test pictures."""
    for split in ("train", "test"):
        for seed, label in enumerate(LABELS):
            file = tmp_path / "pictures" / split / label / f"{seed}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(seed)).save(file, compress_level=0)  # all files are of one size
    return tmp_path / "pictures"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that are decoded."""
    names: list[str] = []

    def noted(*args: Any, name: str, **more: Any) -> Image.Image:
        names.append(name)
        return open_picture(*args, name=name, **more)

    monkeypatch.setattr(in_memory, "open_picture", noted)
    return names


def pixels(root: Path, **more: object) -> NDArray[np.uint8]:
    """Load the data set; return its training pictures, `[N, 8, 8, 3]`."""
    settings = {"name": "imagefolder", "root": root, **NORMALISATION, **more}
    images = load_dataset(DataConfig.model_validate(settings)).train.images  # type: ignore[attr-defined]  # in memory
    assert images.dtype == torch.uint8
    found: NDArray[np.uint8] = images.permute(0, 2, 3, 1).numpy()
    return found


def test_a_second_start_decodes_nothing_and_has_the_same_pixels(root: Path, decoded: list[str]) -> None:
    expected = np.stack([picture(seed) for seed in range(3)])
    np.testing.assert_array_equal(pixels(root), expected)
    assert len(decoded) == 6 + 2  # the first of each split shows the shape
    np.testing.assert_array_equal(pixels(root), expected)
    assert len(decoded) == 8


def test_a_picture_that_changed_is_decoded_though_its_size_and_time_are_those_of_before(
    root: Path, decoded: list[str]
) -> None:
    pixels(root)
    file = root / "train" / "a" / "1.png"
    before = file.stat()
    Image.fromarray(picture(7)).save(file, compress_level=0)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    decoded.clear()
    np.testing.assert_array_equal(pixels(root)[1], picture(7))
    assert len(decoded) == 3 + 1  # of the training set alone


@pytest.mark.parametrize("settings", [{"image_size": 4}, {"limit_per_class": 1}, {"exif": True}, {"max_pixels": 64}])
def test_pictures_that_are_read_otherwise_have_pixels_of_their_own(
    root: Path, cache: Path, settings: dict[str, object]
) -> None:
    whole = pixels(root)
    other = pixels(root, **settings)
    assert len(list(cache.glob("pixels-*"))) == (3 if "limit_per_class" in settings else 4)
    np.testing.assert_array_equal(pixels(root, **settings), other)
    np.testing.assert_array_equal(pixels(root), whole)


def test_a_picture_that_became_too_large_for_the_recipe_is_still_refused(root: Path) -> None:
    pixels(root)
    with pytest.raises(UserError, match="max_pixels"):
        pixels(root, max_pixels=63)


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "what", ["flipped pixel", "flipped shape", "cut", "cut in its head", "empty", "longer", "another"]
)
def test_a_damaged_file_is_not_believed_and_is_written_anew(
    root: Path, cache: Path, decoded: list[str], what: str
) -> None:
    expected = pixels(root)
    whole = {file: file.read_bytes() for file in cache.glob("pixels-*")}
    others = dict(zip(whole, reversed(whole.values()), strict=True))  # as many pictures, of the other split
    for file, content in whole.items():
        damaged = {
            "flipped pixel": flip(content, -1 % len(content)),
            "flipped shape": flip(content, 0),
            "cut": content[:-1],
            "cut in its head": content[:5],
            "empty": b"",
            "longer": content + b"\0",
            "another": others[file],
        }
        file.write_bytes(damaged[what])
    decoded.clear()
    np.testing.assert_array_equal(pixels(root), expected)
    assert len(decoded) == 8
    assert {file: file.read_bytes() for file in cache.glob("pixels-*")} == whole


@pytest.mark.parametrize("trouble", ["full", "read-only", "nearly full"])
def test_without_room_for_pixels_nothing_is_kept_and_nothing_fails(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "nearly full":
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=3 * 8 * 8 * 3))
    else:
        number = {"full": errno.ENOSPC, "read-only": errno.EROFS}[trouble]

        def refuse(*args: Any) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(pixel_cache, "write_whole", refuse)
    np.testing.assert_array_equal(pixels(root)[2], picture(2))
    assert not list(cache.glob("pixels-*"))


def test_files_that_were_not_used_for_longest_make_room(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels(root)
    first = {file: file.stat().st_size for file in cache.glob("pixels-*")}
    for number, file in enumerate(sorted(first)):
        os.utime(file, (number, number))
    monkeypatch.setattr(pixel_cache, "MOST_BYTES", sum(first.values()))
    pixels(root, image_size=4)  # a quarter of the pixels, twice
    left = set(cache.glob("pixels-*"))
    assert left & set(first) == {max(first)}
    assert sum(file.stat().st_size for file in left) <= sum(first.values())
    monkeypatch.setattr(pixel_cache, "MOST_BYTES", 8 * 8 * 3)
    pixels(root, exif=True)
    assert set(cache.glob("pixels-*")) == left  # what is too large alone removes nothing


def test_pixels_that_are_used_count_as_new(root: Path, cache: Path) -> None:
    pixels(root)
    for file in cache.glob("pixels-*"):
        os.utime(file, (0, 0))
    pixels(root)
    assert all(file.stat().st_mtime > 0 for file in cache.glob("pixels-*"))
