"""Data sets in tables: the same data as in folders, whatever they are kept in; what is missing or damaged is named."""

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.support.tables import CLASSES, EACH, hugging_face, rows_of, save_folders, save_parquet

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import AugmentationConfig, DataConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import UserError

CPU = torch.device("cpu")
datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def kept_in(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Path]]:
    """Name and root of the same data set in each form."""
    root = tmp_path_factory.mktemp("tables")
    whole = hugging_face(folders)
    whole.save_to_disk(str(root / "hf"))
    (root / "written-by-hf").mkdir()
    for split, part in whole.items():
        part.to_parquet(str(root / "written-by-hf" / f"{split}-00000-of-00001.parquet"))
    return {
        "huggingface": ("huggingface", root / "hf"),
        "parquet of Hugging Face": ("parquet", root / "written-by-hf"),
        "parquet of bytes and names": ("parquet", save_parquet(folders, root / "plain")),
    }


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kcd-pipeline"


def load(name: str, root: Path, **more: Any) -> Dataset:
    return load_dataset(DataConfig.model_validate({"name": name, "root": root, "image_size": 32, **more}))


def refusal(name: str, root: Path, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(name, root, **more)
    return str(caught.value)


FORMS = ["huggingface", "parquet of Hugging Face", "parquet of bytes and names"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fly", [False, True])
def test_the_same_pictures_are_the_same_data_whatever_they_are_kept_in(
    form: str, fly: bool, folders: Path, kept_in: dict[str, tuple[str, Path]]
) -> None:
    expected = load("imagefolder", folders, on_the_fly=fly)
    found = load(*kept_in[form], on_the_fly=fly)
    facts = ("fingerprint", "classes", "mean", "std", "size", "image_shape")
    assert {key: found.description[key] for key in facts} == {key: expected.description[key] for key in facts}
    assert found.test.fingerprint(found.classes) == expected.test.fingerprint(expected.classes)
    assert found.classes == CLASSES
    assert all(torch.equal(found.train.image(k), expected.train.image(k)) for k in range(len(found.train)))


@pytest.mark.parametrize("form", FORMS)
def test_views_are_the_same_with_workers_and_without_in_any_order(
    form: str, folders: Path, kept_in: dict[str, tuple[str, Path]]
) -> None:
    augmentation = build_augmentation(AugmentationConfig(name="resized-crop-flip", seed=7))
    index = np.array([6, 0, 3, 7, 1])  # not in the order of the rows, from several row groups and files
    expected = load("imagefolder", folders, on_the_fly=True, workers=0).train_views(augmentation, CPU).batch(index, 2)
    for workers in (0, 2):
        views = load(*kept_in[form], on_the_fly=True, workers=workers).train_views(augmentation, CPU)
        found = {int(k): image for of, batch in views.batches([index], 2) for k, image in zip(of, batch, strict=True)}
        assert torch.equal(torch.stack([found[int(k)] for k in index]), expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_takes_the_first_of_each_class_and_a_source_survives_pickling(
    form: str, folders: Path, kept_in: dict[str, tuple[str, Path]]
) -> None:
    part = load(*kept_in[form], on_the_fly=True, limit_per_class=2)
    expected = load("imagefolder", folders, on_the_fly=True, limit_per_class=2)
    assert part.train.labels.tolist() == [0, 0, 1, 1]
    assert part.train.fingerprint(CLASSES) == expected.train.fingerprint(CLASSES)
    again: Any = pickle.loads(pickle.dumps(part.train))
    assert again.source.stamp() == pickle.loads(pickle.dumps(again)).source.stamp() is not None
    assert torch.equal(again.image(3), expected.train.image(3))


@pytest.mark.parametrize("form", FORMS)
def test_a_kept_fingerprint_is_taken_anew_when_a_file_changes(
    form: str, kept_in: dict[str, tuple[str, Path]], cache: Path
) -> None:
    name, root = kept_in[form]
    load(name, root, on_the_fly=True).description  # noqa: B018  # it is computed when it is asked for
    kept = sorted(cache.glob("fingerprint-*"))
    load(name, root, on_the_fly=True).description  # noqa: B018
    assert sorted(cache.glob("fingerprint-*")) == kept
    assert len(kept) == 1
    file = next(path for path in sorted(root.rglob("*train*")) + sorted(root.rglob("train/*.arrow")) if path.is_file())
    os.utime(file)
    load(name, root, on_the_fly=True).description  # noqa: B018
    assert len(sorted(cache.glob("fingerprint-*"))) == 2


def test_columns_and_splits_are_found_by_type_or_named(folders: Path, tmp_path: Path) -> None:
    whole = hugging_face(folders)
    renamed = datasets.DatasetDict(
        {
            "learn": whole["train"].rename_columns({"image": "photo", "label": "fine"}),
            "validation": whole["test"].rename_columns({"image": "photo", "label": "fine"}),
        }
    )
    for split, part in renamed.items():
        renamed[split] = part.add_column("id", list(range(len(part))))
    renamed.save_to_disk(str(tmp_path / "hf"))
    found = load("huggingface", tmp_path / "hf", train="learn")  # the test set is `validation`, for there is no test
    assert found.train.fingerprint(CLASSES) == load("imagefolder", folders).train.fingerprint(CLASSES)
    assert "has no split train. Set data.train to one that is there: learn, validation" in refusal(
        "huggingface", tmp_path / "hf"
    )
    message = refusal("huggingface", tmp_path / "hf", train="learn", label_column="colour")
    assert "has no column 'colour' of the right type for data.label_column. Those that fit: fine, id" in message
    message = refusal("huggingface", tmp_path / "hf", train="learn", test="learn")
    assert f"the split learn of {tmp_path / 'hf'} would be two of data.train, data.test and data.validation" in message


def test_two_columns_of_labels_must_be_told_apart(folders: Path, tmp_path: Path) -> None:
    whole = hugging_face(folders)
    for split, part in whole.items():
        whole[split] = part.add_column("coarse", [0] * len(part)).rename_column("label", "fine")
        whole[split] = whole[split].cast_column("coarse", datasets.ClassLabel(names=["thing"]))
    whole.save_to_disk(str(tmp_path / "hf"))
    assert "set data.label_column to the column to read. Those that fit: fine, coarse" in refusal(
        "huggingface", tmp_path / "hf"
    )
    assert load("huggingface", tmp_path / "hf", label_column="fine").classes == CLASSES
    assert load("huggingface", tmp_path / "hf", label_column="coarse").classes == ("thing",)


def test_secret_and_missing_labels_are_refused_with_their_row(folders: Path, tmp_path: Path) -> None:
    whole = hugging_face(folders)
    hidden = whole["test"].map(lambda row, k: {"label": -1 if k > 2 else row["label"]}, with_indices=True)
    datasets.DatasetDict(train=whole["train"], test=hidden).save_to_disk(str(tmp_path / "hf"))
    message = refusal("huggingface", tmp_path / "hf")
    assert (
        f"row 3 of the split test of {tmp_path / 'hf'} has the label -1, as have {2 * EACH - 3} of {2 * EACH}"
        in message
    )
    assert "kept secret" in message
    (tmp_path / "pq").mkdir()
    rows = rows_of(folders, "train")
    for split in ("train", "test"):
        table = pa.table({"image": [content for content, _ in rows], "label": [0, None, *([1] * (len(rows) - 2))]})
        pq.write_table(table, tmp_path / "pq" / f"{split}.parquet")
    assert f"row 1 of {tmp_path / 'pq' / 'train.parquet'} has no label" in refusal("parquet", tmp_path / "pq")


def test_numbers_are_named_by_data_classes(folders: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = rows_of(folders, split)
        table = pa.table({"image": [content for content, _ in rows], "label": [label for _, label in rows]})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert load("parquet", tmp_path).classes == ("0", "1")
    assert load("parquet", tmp_path, classes=["pagoda", "dahlia"]).classes == ("pagoda", "dahlia")
    assert f"row {EACH} of {tmp_path / 'train.parquet'}: the label '1' is none of the 1 classes (pagoda)" in (
        refusal("parquet", tmp_path, classes=["pagoda"])
    )


def test_names_in_the_data_are_not_overruled_in_silence(kept_in: dict[str, tuple[str, Path]]) -> None:
    name, root = kept_in["huggingface"]
    message = refusal(name, root, classes=["a", "b"])
    assert "has its own names of classes (china, flower), and data.classes says a, b" in message
    assert "the label 'flower' is none of the 2 classes (china, tulip)" in refusal(
        *kept_in["parquet of bytes and names"], classes=["china", "tulip"]
    )


@pytest.mark.parametrize("damage", ["cut", "garbage"])
@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_is_named(form: str, damage: str, kept_in: dict[str, tuple[str, Path]], tmp_path: Path) -> None:
    name, root = kept_in[form]
    file = next(path for path in sorted(root.rglob("*train*")) + sorted(root.rglob("train/*.arrow")) if path.is_file())
    content = file.read_bytes()
    copy = tmp_path / "copy"
    for path in root.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(root)).write_bytes(path.read_bytes())
    (copy / file.relative_to(root)).write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x00" * 500)
    message = refusal(name, copy)
    assert str(copy) in message
    assert "cannot be read" in message


def test_a_row_without_a_picture_and_one_that_is_no_picture_are_named(folders: Path, tmp_path: Path) -> None:
    rows = rows_of(folders, "train")
    for name, wrong in (("none", None), ("text", b"no picture")):
        root = tmp_path / name
        root.mkdir()
        for split in ("train", "test"):
            contents: list[bytes | None] = [content for content, _ in rows]
            contents[5] = wrong if split == "train" else contents[5]
            table = pa.table({"image": contents, "label": [label for _, label in rows]})
            pq.write_table(table, root / f"{split}.parquet")
        message = refusal("parquet", root)
        assert f"row 5 of {root / 'train.parquet'}" in message
    assert "cannot be read as an image" in message


def test_pictures_named_by_their_path_are_read_and_not_trusted_to_stay(folders: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        files = sorted((folders / split).rglob("*.jpg"))
        image = pa.array([{"bytes": None, "path": str(file)} for file in files])
        table = pa.table({"image": image, "label": [CLASSES.index(file.parent.name) for file in files]})
        table = table.cast(
            pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())])
        )
        pq.write_table(table, tmp_path / f"{split}.parquet")
    found: Any = load("parquet", tmp_path, on_the_fly=True, classes=list(CLASSES)).train
    assert found.fingerprint(CLASSES) == load("imagefolder", folders, on_the_fly=True).train.fingerprint(CLASSES)
    assert found.source.stamp() is None


@pytest.mark.parametrize("name", ["huggingface", "parquet"])
def test_an_empty_folder_says_what_is_expected(name: str, tmp_path: Path) -> None:
    message = refusal(name, tmp_path)
    assert str(tmp_path) in message
    assert "Set data.root" in message


def test_a_single_split_of_hugging_face_is_told_from_a_whole_set(folders: Path, tmp_path: Path) -> None:
    hugging_face(folders)["train"].save_to_disk(str(tmp_path / "one"))
    assert "is one split that datasets has saved" in refusal("huggingface", tmp_path / "one")


def test_validation_images_are_a_split_of_their_own(folders: Path, tmp_path: Path) -> None:
    whole = hugging_face(folders)
    whole["validation"] = whole["test"].select([0, 5])
    whole.save_to_disk(str(tmp_path / "hf"))
    (tmp_path / "pq").mkdir()
    for split, part in whole.items():
        part.to_parquet(str(tmp_path / "pq" / f"{split}.parquet"))
    for fly in (False, True):
        for name, root, asked in (("huggingface", "hf", "validation"), ("parquet", "pq", "validation.parquet")):
            found = load(name, tmp_path / root, validation=asked, on_the_fly=fly)
            assert found.validation is not None
            assert found.validation.labels.tolist() == [0, 1]
            assert torch.equal(found.validation.image(1), found.test.image(5))
    assert "has no split dev. Set data.validation to one that is there: test, train, validation" in refusal(
        "huggingface", tmp_path / "hf", validation="dev"
    )


def test_a_pattern_names_the_files_of_a_split(kept_in: dict[str, tuple[str, Path]]) -> None:
    name, root = kept_in["parquet of bytes and names"]
    assert len(load(name, root, train="train-0.parquet", classes=list(CLASSES)).train) == 5
    assert "is in both data.train and data.test" in refusal(name, root, train="*.parquet")
    assert len(load(name, root, train="train-{0..1}.parquet").train) == 2 * EACH
    assert "there is no file that data.test, valid-*.parquet, names in" in refusal(name, root, test="valid-*.parquet")


@pytest.mark.parametrize(("form", "library"), [("huggingface", "datasets"), ("parquet of Hugging Face", "pyarrow")])
def test_a_library_that_is_missing_is_named_with_its_extra(
    form: str, library: str, kept_in: dict[str, tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    message = refusal(*kept_in[form])
    assert f"needs the library {library}, which an extra installs" in message
    assert 'pip install -e ".[data]"' in message


@pytest.mark.parametrize("column", ["image", "label"])
def test_rows_that_point_outside_of_an_arrow_file_are_refused(column: str, folders: Path, tmp_path: Path) -> None:
    # the place of each row's bytes, 32 bits of a binary column, is set beyond them: Arrow itself would read there
    hugging_face(folders).cast_column("label", datasets.Value("string")).save_to_disk(str(tmp_path / "hf"))
    file = next((tmp_path / "hf" / "train").glob("*.arrow"))
    table: Any = datasets.load_from_disk(str(tmp_path / "hf"))["train"].data.table[column].chunks[0]
    offsets = (table.field("bytes") if column == "image" else table).buffers()[1].to_pybytes()[: 4 * (2 * EACH + 1)]
    content = file.read_bytes()
    assert content.count(offsets) == 1
    wrong = offsets[:8] + (2**31 - 5).to_bytes(4, "little") + offsets[12:]
    file.write_bytes(content.replace(offsets, wrong))
    message = refusal("huggingface", tmp_path / "hf")
    assert f"{tmp_path / 'hf' / 'train'} cannot be read by datasets: ArrowInvalid" in message
