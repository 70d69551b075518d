"""Folders of images: read class by class; files that are missing, damaged or inconsistent are refused by name."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from tests.support.data_sets import load, refusal


def save_digits(root: Path, splits: tuple[str, ...] = ("train", "test"), classes: tuple[int, ...] = (3, 7)) -> None:
    """Save real 8x8 digits as grey PNG files: three of each class and split."""
    source = load_digits()
    for part, split in enumerate(splits):
        for digit in classes:
            folder = root / split / f"digit-{digit}"
            folder.mkdir(parents=True)
            chosen = source.images[source.target == digit][3 * part : 3 * part + 3]
            for k, image in enumerate(chosen):
                Image.fromarray((image * 15).astype(np.uint8)).save(folder / f"{k}.png")


def test_a_folder_of_images_is_read_class_by_class_as_three_channels(tmp_path: Path) -> None:
    save_digits(tmp_path)
    data = load("imagefolder", tmp_path)
    source = load_digits()
    threes = (source.images[source.target == 3][:3] * 15).astype(np.uint8)
    assert data.train.images.shape == (6, 3, 8, 8)
    assert np.array_equal(data.train.images[:3].numpy(), np.repeat(threes[:, None], 3, axis=1))
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.classes == ("digit-3", "digit-7")
    assert not torch.equal(data.train.images, data.test.images)


def test_val_is_the_test_set_where_there_is_no_test_folder(tmp_path: Path) -> None:
    save_digits(tmp_path / "a", ("train", "val"))
    save_digits(tmp_path / "b", ("train", "test"))
    first, second = load("imagefolder", tmp_path / "a"), load("imagefolder", tmp_path / "b")
    assert torch.equal(first.test.images, second.test.images)


def test_where_a_folder_lies_and_what_its_files_are_called_is_no_matter(tmp_path: Path) -> None:
    save_digits(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    file = tmp_path / "there" / "train" / "digit-3" / "0.png"
    file.rename(file.with_name("00.png"))
    assert load("imagefolder", tmp_path / "here").description == load("imagefolder", tmp_path / "there").description


def photographs(root: Path) -> None:
    """China's 640x427 and the flower's 640x427 photographs, the flower cut to 400x427 in `train`."""
    china, flower = load_sample_images().images
    for split, size in (("train", 400), ("test", 640)):
        for name, pixels in (("china", china), ("flower", flower[:, :size])):
            (root / split / name).mkdir(parents=True)
            Image.fromarray(pixels).save(root / split / name / "photo.jpg")


def test_images_that_differ_in_size_are_named_with_what_to_do(tmp_path: Path) -> None:
    photographs(tmp_path)
    message = refusal("imagefolder", tmp_path)
    assert f"{tmp_path / 'train' / 'china' / 'photo.jpg'} is 640x427" in message
    assert f"{tmp_path / 'train' / 'flower' / 'photo.jpg'} is 400x427" in message
    assert "--set data.image_size=N" in message


def test_image_size_scales_the_shorter_side_and_cuts_the_middle(tmp_path: Path) -> None:
    photographs(tmp_path)
    data = load("imagefolder", tmp_path, image_size=32)
    assert data.train.images.shape == data.test.images.shape == (2, 3, 32, 32)
    with Image.open(tmp_path / "train" / "china" / "photo.jpg") as photo:
        scaled = np.asarray(photo.convert("RGB").resize((47, 32), Image.Resampling.BILINEAR))  # 640 * 32 / 427 = 47.96
    middle = scaled[:, 8:40].transpose(2, 0, 1)  # (47 - 32) / 2 = 7.5, to even
    assert np.array_equal(data.train.images[0].numpy(), middle)


def test_test_images_of_another_size_than_the_training_images_are_refused(tmp_path: Path) -> None:
    save_digits(tmp_path)
    for file in (tmp_path / "test").rglob("*.png"):
        with Image.open(file) as image:
            larger = image.resize((16, 16))
        larger.save(file)
    message = refusal("imagefolder", tmp_path)
    assert "training images are [3, 8, 8] and test images [3, 16, 16]" in message
    assert "--set data.image_size=N" in message


def test_classes_that_differ_between_the_splits_are_named(tmp_path: Path) -> None:
    save_digits(tmp_path, ("train",), (3, 7))
    save_digits(tmp_path, ("test",), (3, 8))
    assert "train and test must hold the same classes; only in one: digit-7, digit-8" in refusal(
        "imagefolder", tmp_path
    )


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    save_digits(tmp_path)
    (tmp_path / "train" / "digit-9").mkdir()
    assert "digit-9" in refusal("imagefolder", tmp_path)


@pytest.mark.parametrize("missing", ["everything", "train", "test"])
def test_a_missing_folder_says_what_is_expected(tmp_path: Path, missing: str) -> None:
    if missing != "everything":
        save_digits(tmp_path, tuple({"train", "test"} - {missing}))
    message = refusal("imagefolder", tmp_path / "nothing" if missing == "everything" else tmp_path)
    assert "is not an image folder: expected train/<class>/*.png" in message
    assert "Set data.root" in message
    assert str(tmp_path) in message


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def chunk_named_wrongly(content: bytes) -> bytes:
    """Return a PNG whose pixels end at a chunk without a valid name: Pillow raises SyntaxError for it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = zlib.compress(bytes(8 * 9))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return content[:8] + header + chunk(b"IDAT", pixels[:5]) + chunk(b"\1\2\3\4", pixels[5:]) + chunk(b"IEND", b"")


def enormous(content: bytes) -> bytes:
    """Return a BMP header that claims 60,000 x 60,000 pixels: Pillow raises DecompressionBombError."""
    return struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 60000, 60000, 1, 24, *[0] * 6)


@pytest.mark.parametrize(
    "damage", [cut_short, chunk_named_wrongly, enormous, lambda content: b"", lambda content: b"GIF? no"]
)
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    save_digits(tmp_path)
    file = tmp_path / "test" / "digit-7" / "1.png"
    file.write_bytes(damage(file.read_bytes()))
    message = refusal("imagefolder", tmp_path)
    assert message.startswith(f"{file} cannot be read as an image: ")
    assert message.endswith("Mend or remove the file.")
