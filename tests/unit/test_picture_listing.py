"""The list of a folder of pictures is ours to trust: what is passed over is counted and said, what fails is named."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.data.folders.listing import Listing, list_folder, list_splits
from kcd_pipeline.errors import UserError

NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kcd-pipeline"


def picture(path: Path, level: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(path, format="PNG")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of two pictures in `train` and in `val`."""
    for split in ("train", "val"):
        for name in ("a", "b"):
            for k in range(2):
                picture(tmp_path / "pictures" / split / name / f"{k}.png", 20 * k + len(split))
    return tmp_path / "pictures"


def load(root: Path, **more: Any) -> Dataset:
    given = {"name": "imagefolder", "root": root, "on_the_fly": True, "image_size": 8, "workers": 0}
    return load_dataset(DataConfig.model_validate(given | more))


def refusal(asked: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        asked(*arguments, **more)
    message = str(caught.value)
    message.encode()  # any terminal and any file takes it
    assert "\n" not in message
    return message


def names(listing: Listing) -> list[str]:
    return [str(listing.open(sample).relative_to(listing.root)) for sample in range(len(listing))]


# --- what is in it ---------------------------------------------------------------------------------------


def test_files_are_listed_in_the_order_of_torchvision(tmp_path: Path) -> None:
    for name in ("b/x", "b/x-y", "b/x/z", "b", "a", "b/Z", "b/é", "B"):
        for ending in ("png", "JPG", "tiff", "webp"):
            picture(tmp_path / name / f"{len(name)}.{ending}")
    (tmp_path / "linked").symlink_to(tmp_path / "b")
    theirs = ImageFolder(str(tmp_path))
    ours = list_folder(tmp_path)
    assert [str(ours.open(k)) for k in range(len(ours))] == [path for path, _ in theirs.samples]
    assert ours.labels.tolist() == theirs.targets
    assert list(ours.classes) == theirs.classes == ["B", "a", "b", "linked"]
    assert ours.skipped == ""


def test_endings_that_torchvision_does_not_know_are_read_too(root: Path) -> None:
    for ending in ("jfif", "jpe", "gif", "avif", "jp2", "GIF"):
        picture(root / "train" / "a" / f"more.{ending}")
    assert len(list_folder(root / "train")) == 4 + 6


def test_what_is_passed_over_is_counted_and_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = root / "train"
    picture(train / ".ipynb_checkpoints" / "0.png")
    picture(train / "a" / ".ipynb_checkpoints" / "0.png")
    picture(train / "a" / "._0.png")
    picture(train / "__MACOSX" / "0.png")
    picture(train / "b" / "@eaDir" / "0.png")
    (train / "list.txt").touch()
    for name in ("a.txt", "Thumbs.db", "0.heic"):
        (train / "b" / name).touch()
    (train / "b" / "again").symlink_to(train / "b")
    os.mkfifo(train / "b" / "pipe.png")
    (train / "b" / NOT_UTF8).touch()
    found = list_folder(train)
    assert found.classes == ("a", "b")
    assert names(found) == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert sorted(part.split(" (")[0] for part in found.skipped.split("), ")) == [
        "1 beside the folders of classes",
        "1 links to a folder that they lie in",
        "1 neither files nor folders",
        "2 folders of the system",
        "3 hidden",
        "4 with the ending of no picture",
    ]
    assert len(load(root).train) == 4
    assert f"{train}: not taken as pictures: {found.skipped}" in capsys.readouterr().err


def test_nothing_is_said_where_nothing_is_passed_over(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(root)
    assert capsys.readouterr().err == ""


def test_grey_pictures_that_use_little_of_their_range_are_spoken_of(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (root / "train" / "a").iterdir():
        Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(file)
    load(root)
    said = capsys.readouterr().err
    assert f"{root}/train: 2 grey pictures of more than 8 bits were looked at, and the largest value is 6.2%" in said
    assert "set data.pixel_range to it, such as [0, 4095]." in said
    assert load(root, pixel_range=[0, 4095]).train.image(0).min() == 255
    assert capsys.readouterr().err == ""


def test_links_in_a_circle_end(root: Path) -> None:
    a, b = root / "train" / "a", root / "train" / "b"
    (a / "other").symlink_to(b)
    (b / "other").symlink_to(a)
    found = list_folder(root / "train")
    assert names(found)[:4] == ["a/0.png", "a/1.png", "a/other/0.png", "a/other/1.png"]
    assert found.skipped == "2 links to a folder that they lie in (other, ...)"


def test_file_names_that_are_not_utf8_are_as_good_as_others(root: Path) -> None:
    (root / "train" / "a" / "1.png").rename(root / "train" / "a" / f"{NOT_UTF8}.png")
    data = load(root)
    assert len(data.train) == 4
    assert data.train.image(1).flatten()[0] == 25
    assert len(data.description["fingerprint"]) == 64
    (root / "train" / "a" / f"{NOT_UTF8}.png").write_bytes(b"none")
    message = refusal(data.train.image, 1)
    assert message.startswith(f"{root}/train/a/caf\\xe9.png cannot be read as an image: ")


def test_a_class_whose_name_is_not_utf8_is_refused(root: Path) -> None:
    (root / "train" / "a").rename(root / "train" / NOT_UTF8)
    assert r"train/caf\xe9 is not UTF-8, but it names a class. Rename the folder." in refusal(load, root)


# --- what fails ------------------------------------------------------------------------------------------


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Folders that this user may not read; the tests may run as root, who may read all."""
    scandir = os.scandir
    folders: list[str] = []

    def refuse(path: Any) -> Iterator[os.DirEntry[str]]:
        if os.fspath(path) in folders:
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return lambda folder: folders.append(str(folder))


@pytest.mark.parametrize("place", ["train", "train/a", "train/a/below"])
def test_a_folder_that_may_not_be_read_is_an_error_and_not_damage(
    root: Path, locked: Callable[[Path], None], place: str
) -> None:
    picture(root / "train" / "a" / "below" / "0.png")
    locked(root / place)
    assert refusal(load, root) == (
        f"{root / place} cannot be read: Permission denied. Give yourself the right to read it, or move it out of "
        f"data.root."
    )


def test_a_link_to_nothing_is_named(root: Path) -> None:
    (root / "train" / "a" / "2.png").symlink_to(root / "annex" / "2.png")
    message = refusal(load, root)
    assert message.startswith(f"{root}/train/a/2.png cannot be read: No such file or directory. ")
    assert "a link to nothing" in message


def test_a_class_without_pictures_says_what_is_there_instead(root: Path) -> None:
    picture(root / "train" / "c" / ".hidden.png")
    (root / "train" / "c" / "0.heic").touch()
    message = refusal(load, root)
    assert message.startswith(f"{root}/train/c holds no picture, but its folder makes it a class.")
    assert "1 hidden (.hidden.png)" in message
    assert "1 with the ending of no picture (0.heic)" in message


def test_a_picture_that_is_gone_meanwhile_is_named(root: Path) -> None:
    data = load(root)
    (root / "train" / "a" / "1.png").unlink()
    expected = f"{root}/train/a/1.png cannot be read: No such file or directory. It was moved meanwhile"
    assert refusal(data.train.image, 1).startswith(expected)
    assert refusal(lambda: data.description).startswith(expected)


# --- the test set ----------------------------------------------------------------------------------------


def test_the_test_folder_can_be_chosen(root: Path) -> None:
    picture(root / "test" / "0.png")
    assert "or set data.test_folder to the folder that holds the labelled test images" in refusal(load, root)
    assert load(root, test_folder="val").test.labels.tolist() == [0, 0, 1, 1]
    (root / "val").rename(root / "held out")
    assert len(load(root, test_folder="held out").test) == 4
    assert "the same below val/." in refusal(load, root, test_folder="val")


@pytest.mark.parametrize("folder", ["train", "./train/", "../pictures/train", "linked"])
def test_training_images_are_no_test_images(root: Path, folder: str) -> None:
    (root / "linked").symlink_to(root / "train")
    assert "holds the training images. Set data.test_folder to" in refusal(load, root, test_folder=folder)


def test_a_test_folder_with_nothing_but_hidden_files_is_passed_over(root: Path) -> None:
    (root / "test").mkdir()
    (root / "test" / ".DS_Store").touch()
    assert list_splits(root, ("test", "val"))[1].root == root / "val"


# --- text beside the pictures ----------------------------------------------------------------------------


def test_words_that_are_not_utf8_are_refused_with_their_line(root: Path) -> None:
    (root / "words.txt").write_bytes(b"a\tcat\nb\tcaf\xe9\n")
    assert refusal(load, root) == (
        f"{root}/words.txt is not text in UTF-8: line 2 holds the byte 0xe9. Save it as UTF-8."
    )
    (root / "words.txt").write_bytes(b"\xef\xbb\xbfa\tcat\r\nb\tdog\r\n")  # as Windows' editor saves it
    assert load(root).label_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"0.png\ta\n1.png\n", "found the line '1.png', expected a file name, a tab and a class"),
        (b"0.png\ta\n0.png\tb\n", "found 2 lines for 1 pictures"),
        (b"0.png\ta\n\xe9.png\tb\n", "is not text in UTF-8: line 2 holds the byte 0xe9"),
        (b"0.png\ta\n" + b"x" * 200_000 + b"\tb\n", "which is not in"),
        (b"0.png\ta\n1\0.png\tb\n", "which is not in"),
        (b"../train/a/0.png\ta\n", "which is not in"),
    ],
)
def test_annotations_that_are_damaged_are_refused(root: Path, content: bytes, said: str) -> None:
    picture(root / "val" / "images" / "0.png")
    (root / "val" / "val_annotations.txt").write_bytes(content)
    assert said in refusal(load, root, name="tiny-imagenet")


def test_pictures_that_the_annotations_do_not_name_are_counted(root: Path) -> None:
    for k in range(3):
        picture(root / "val" / "images" / f"{k}.png")
    (root / "val" / "val_annotations.txt").write_text("1.png\tb\n", encoding="utf-8")
    test = list_splits(root, ("val",))[1]
    assert (names(test), test.labels.tolist()) == (["images/1.png"], [1])
    assert test.skipped == "2 that the annotations do not name (0.png, ...)"


# --- the fingerprint cache -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:40],
        lambda content: content[:3] + bytes([content[3] ^ 1]) + content[4:],
        lambda content: content[64:],
        lambda content: b"\xff" * len(content),
        lambda content: content[:64],  # of an earlier version
    ],
)
def test_a_cached_fingerprint_that_is_damaged_is_taken_anew(
    root: Path, cache: Path, damage: Callable[[bytes], bytes]
) -> None:
    fingerprint = load(root).description["fingerprint"]
    (kept,) = cache.glob("fingerprint-*")
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert load(root).description["fingerprint"] == fingerprint
    assert kept.read_bytes() == whole


def test_a_cached_fingerprint_of_other_files_is_not_taken(root: Path, cache: Path) -> None:
    train, test = load(root).description["fingerprint"], load(root).test.fingerprint(("a", "b"))
    one, other = cache.glob("fingerprint-*")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert train != test
    assert load(root).description["fingerprint"] == train


def test_a_file_that_was_changed_and_given_its_old_time_is_noticed(root: Path) -> None:
    before = load(root).description["fingerprint"]
    file = root / "train" / "a" / "0.png"
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(root).description["fingerprint"] != before


def test_without_a_home_there_is_no_cache_and_nothing_else_is_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert len(load(root).description["fingerprint"]) == 64
