"""Pictures that a CSV file lists: the same data set as a folder of classes in the same order, or a clear refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import UserError

CLASSES = ("cat", "dog", "emu")
ROWS = [f"{split}/{name}/{k}.png,{name}" for split in ("train", "test") for name in CLASSES for k in range(3)]
TRAIN, TEST = ROWS[:9], ROWS[9:]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Scikit-learn's digits in a folder of classes, as ROWS list them."""
    for row, pixels in zip(ROWS, load_digits().images * 15, strict=False):
        file = tmp_path / "data" / row.split(",")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    return tmp_path / "data"


def load(root: Path, rows: list[str] = TRAIN, test_rows: list[str] = TEST, /, **more: Any) -> Dataset:
    """Write both tables, below a header, and load them."""
    header = more.pop("header", "path,label")
    (root / "train.csv").write_text("\n".join([header, *rows]) + "\n")
    (root / "test.csv").write_text("\n".join([header, *test_rows]) + "\n")
    return load_dataset(DataConfig.model_validate({"name": "csv", "root": root, "workers": 0} | more))


def refusal(load_it: Callable[[], Dataset]) -> str:
    with pytest.raises(UserError) as caught:
        load_it()
    return str(caught.value)


@pytest.mark.parametrize("more", [{}, {"on_the_fly": True, "image_size": 6}, {"limit_per_class": 2}])
def test_a_table_in_the_order_of_a_folder_is_the_same_data(root: Path, more: dict[str, Any]) -> None:
    table = load(root, **more)
    folder = load_dataset(DataConfig.model_validate({"name": "imagefolder", "root": root, "workers": 0} | more))
    assert table.classes == folder.classes == CLASSES
    assert table.description | {"name": "imagefolder"} == folder.description
    for ours, theirs in ((table.train, folder.train), (table.test, folder.test)):
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert all((ours.image(k) == theirs.image(k)).all() for k in range(len(ours)))


def test_rows_keep_their_order(root: Path) -> None:
    data = load(root, TRAIN[::-1])
    assert data.train.labels.tolist() == [2, 2, 2, 1, 1, 1, 0, 0, 0]
    expected = np.asarray(Image.open(root / "train/emu/2.png").convert("RGB"))
    assert (data.train.image(0).permute(1, 2, 0).numpy() == expected).all()


def test_columns_have_any_order_and_name_and_cells_are_quoted_as_in_csv(root: Path) -> None:
    (root / "train" / "cat" / "0.png").rename(root / "a, b.png")
    rows = [f"{row.split(',')[1]}, {row.split(',')[0]} ,x" for row in TRAIN]
    rows[0] = 'cat, "a, b.png", "x\ny"'
    test = [f"{row.split(',')[1]},{row.split(',')[0]},x" for row in TEST]
    columns = {"image_column": "file", "label_column": "kind", "header": "\ufeffkind, file ,note"}
    assert load(root, rows, test, **columns).train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3


def test_tabs_separate_the_columns_of_a_tsv(root: Path) -> None:
    for name, rows in (("train", TRAIN), ("test", TEST)):
        (root / f"{name}.tsv").write_text("\n".join(["path,label", *rows]).replace(",", "\t"))
    data = load_dataset(
        DataConfig.model_validate({"name": "csv", "root": root, "train": "train.tsv", "test": "test.tsv"})
    )
    assert data.train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3


@pytest.mark.parametrize(
    ("labels", "given", "classes", "places"),
    [
        # whole numbers are sorted as numbers, names as text
        (["10", "9", "11"], None, ("9", "10", "11"), [1, 0, 2]),
        (["b", "10", "9"], None, ("10", "9", "b"), [2, 0, 1]),
        # data.classes names them, by name or by number from 0
        (["emu", "cat", "emu"], ["emu", "dog", "cat"], ("emu", "dog", "cat"), [0, 2, 0]),
        (["0", "2", "0"], ["emu", "dog", "cat"], ("emu", "dog", "cat"), [0, 2, 0]),
        # numbers that are names are taken as names
        (["17", "3", "17"], ["17", "3"], ("17", "3"), [0, 1, 0]),
    ],
)
def test_labels_are_names_or_numbers(
    root: Path, labels: list[str], given: list[str] | None, classes: tuple[str, ...], places: list[int]
) -> None:
    rows = [f"train/cat/{k}.png,{label}" for k, label in enumerate(labels)]
    data = load(root, rows, [row.replace("train", "test") for row in rows], classes=given)
    assert data.classes == classes
    assert data.train.labels.tolist() == data.test.labels.tolist() == places


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([], {}, ["train.csv has no row below its header"]),
        ([*TRAIN, "train/cat/9.png,cat"], {}, ["train.csv, line 11", "9.png", "1 of 10 are missing"]),
        ([*TRAIN, "train/cat/0.png"], {}, ["train.csv, line 11", "1 cells where the header has 2"]),
        ([*TRAIN, "train/cat/0.png, "], {}, ["train.csv, line 11", "no path or no label"]),
        ([*TRAIN, 'train/cat/0.png,"cat'], {}, ["train.csv is no table in CSV", "unexpected end of data"]),
        ([f"{'x' * 200_000},cat"], {}, ["train.csv is no table in CSV", "field larger"]),
        ([*TRAIN, f"{'x' * 5_000},cat"], {}, ["train.csv, line 11", "there is no file"]),
        (TRAIN, {"validation": "test.csv"}, ["test.csv is named by both data.test and data.validation"]),
        (TRAIN, {"validation": "none.csv"}, ["there is no", "none.csv", "data.validation"]),
        (TRAIN, {"header": "image,label"}, ["no columns called 'path' among 2 (image, label)", "data.image_column"]),
        (TRAIN, {"header": "path,path"}, ["2 columns called 'path'"]),
        (TRAIN, {"header": "path;label"}, ["no columns called 'path' among 1 (path;label)", "commas"]),
        (TRAIN, {"train": "none.csv"}, ["there is no", "none.csv", "data.train"]),
        (TRAIN, {"test": "./train.csv"}, ["train.csv is named by both data.train and data.test"]),
        (TRAIN, {"classes": ["cat", "dog"]}, ["train.csv, line 8", "'emu' is none of the 2 classes (cat, dog)"]),
        (["train/cat/0.png,0", "train/cat/1.png,3"], {}, ["numbers 0 to 3 without 1, 2", "data.classes"]),
        (["train/cat/0.png,0", "train/cat/1.png,99"], {}, ["0 to 99 without 1, 2, 3, 4, 5 and 93 more"]),
        (["train/cat/0.png,cat"], {}, ["test.csv, line 5", "'dog' is none of the 1 classes (cat)"]),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    root: Path, rows: list[str], more: dict[str, Any], said: list[str]
) -> None:
    message = refusal(lambda: load(root, rows, **more))
    assert all(words in message for words in said), message


def test_validation_images_are_a_table_or_a_part_of_the_training_set(root: Path) -> None:
    (root / "val.csv").write_text("path,label\ntest/dog/1.png,dog\ntrain/cat/2.png,cat\n")
    named = load(root, validation="val.csv").validation
    assert named is not None
    assert named.labels.tolist() == [1, 0]
    held_out = load(root, validation=0.34)
    assert held_out.validation is not None
    assert (len(held_out.train), len(held_out.validation)) == (6, 3)


def test_a_picture_that_cannot_be_read_is_named(root: Path) -> None:
    (root / "train" / "dog" / "1.png").write_bytes(b"not a picture")
    assert f"{root}/train/dog/1.png cannot be read as an image: cannot identify" in refusal(lambda: load(root))


def test_bytes_that_are_not_utf8_are_refused(root: Path) -> None:
    load(root)
    (root / "train.csv").write_bytes("path,label\ncafé.png,cat\n".encode("latin-1"))
    config = DataConfig.model_validate({"name": "csv", "root": root})
    assert "train.csv is not text in UTF-8: line 2" in refusal(lambda: load_dataset(config))


def test_a_class_without_training_images_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(root, classes=[*CLASSES, "gnu"]).classes[3] == "gnu"
    assert "no training image is of the classes gnu" in capsys.readouterr().err


@pytest.mark.parametrize("classes", [[], ["cat", "cat"]])
def test_classes_must_differ(classes: list[str]) -> None:
    with pytest.raises(ValueError, match="name each class once"):
        DataConfig.model_validate({"name": "csv", "classes": classes})
