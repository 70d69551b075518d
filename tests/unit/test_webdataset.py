"""Pictures in WebDataset's tar shards: the same data set as their folder, any sample by itself, or a clear refusal."""

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image
from sklearn.datasets import load_digits

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import AugmentationConfig, DataConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.data.sources import shard_index
from kcd_pipeline.data.sources.patterns import files_of
from kcd_pipeline.errors import UserError

CLASSES = ("cat", "dog", "emu")
EACH = 4
DIGITS = (load_digits().images[:50] * 15).astype(np.uint8)

Sample = dict[str, Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kcd-pipeline"


def encoded(number: int, ending: str = "PNG") -> bytes:
    """Image `number` of scikit-learn's digits."""
    content = io.BytesIO()
    Image.fromarray(DIGITS[number]).save(content, ending)
    return content.getvalue()


def write(shard: Path, samples: Iterable[Sample]) -> Path:
    """Write a shard as WebDataset's own writer does."""
    shard.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(shard)) as writer:
        for number, sample in enumerate(samples):
            writer.write({"__key__": f"{number:04d}"} | sample)
    return shard


def write_tar(shard: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(shard, "w") as archive:
        for name, content in files:
            head = tarfile.TarInfo(name)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
    return shard


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write equal images as a folder of classes and as shards, two for training and one for the test."""
    root, number = tmp_path / "data", 0
    for split, shards in (("train", 2), ("test", 1)):
        samples = []
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for k in range(EACH):
                (root / split / name / f"{k}.png").write_bytes(encoded(number))
                samples.append({"png": encoded(number), "cls": name})
                number += 1
        for k, part in enumerate(np.array_split(np.array(samples, object), shards)):
            write(root / f"{split}-{k:04d}.tar", part)
    return root


def load(root: Path, **more: Any) -> Dataset:
    given = {"name": "webdataset", "root": root, "workers": 0}
    return load_dataset(DataConfig.model_validate(given | more))


def refusal(load_it: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        load_it()
    return str(caught.value)


# --- the same data set -----------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"on_the_fly": True, "image_size": 6}, {"limit_per_class": 3}])
def test_shards_in_the_order_of_a_folder_are_the_same_data(root: Path, more: dict[str, Any]) -> None:
    shards, folder = load(root, **more), load(root, name="imagefolder", **more)
    assert shards.classes == folder.classes == CLASSES
    assert shards.description | {"name": "imagefolder"} == folder.description
    for ours, theirs in ((shards.train, folder.train), (shards.test, folder.test)):
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert all((ours.image(k) == theirs.image(k)).all() for k in range(len(ours)))


def test_any_number_of_workers_makes_the_same_views(root: Path) -> None:
    augmentation = build_augmentation(AugmentationConfig(name="resized-crop-flip", seed=7))
    order = [np.array([11, 0, 5, 2]), np.array([7, 7, 1])]
    made = []
    for workers in (0, 2):
        data = load(root, on_the_fly=True, image_size=6, workers=workers)
        views = data.train_views(augmentation, torch.device("cpu"))
        made.append([batch.clone() for _, batch in views.batches(order, view=3)])
    assert all((a == b).all() for a, b in zip(*made, strict=True))


def test_samples_are_those_that_webdataset_itself_reads(tmp_path: Path) -> None:
    # keys in folders, upper-case endings, other files of a sample, notes, hidden files and links
    files = [
        ("a/01.PNG", encoded(0)),
        ("a/01.cls", b" 1\n"),
        ("a/01.seg.png", encoded(9)),
        ("__notes__", b"x"),
        ("a/02.v1.cls", b"7"),
        ("a/02.jpg", encoded(1, "JPEG")),
        ("a/02.cls", b"0"),
        ("README", b"x"),
        ("b/01.webp", encoded(2, "WEBP")),
        ("b/01.cls", b"2"),
    ]
    shard = write_tar(tmp_path / "train.tar", files)
    write_tar(tmp_path / "test.tar", files)
    data = load(tmp_path, on_the_fly=True, image_size=6)
    theirs = list(webdataset.WebDataset(str(shard), shardshuffle=False, empty_check=False))
    assert data.train.labels.tolist() == [int(sample["cls"]) for sample in theirs] == [1, 0, 2]
    images = [sample.get("png") or sample.get("jpg") or sample.get("webp") for sample in theirs]
    source = data.train.source  # type: ignore[attr-defined]
    assert [source.open(k).read() for k in range(3)] == images
    assert source.name(2) == f"{shard}: b/01.webp"


def test_labels_are_in_a_field_of_json_if_the_recipe_says_so(tmp_path: Path) -> None:
    facts = [{"kind": name, "label": k} for k, name in enumerate("bab")]
    for split in ("train", "test"):
        write(tmp_path / f"{split}.tar", [{"jpg": encoded(0, "JPEG"), "cls": "9", "json": of} for of in facts])
        pairs = [{"a.png": encoded(k), "b.png": encoded(9), "json": facts[k]} for k in range(2)]
        write(tmp_path / f"other-{split}.tar", pairs)
    data = load(tmp_path, label_column="kind")
    assert data.classes == ("a", "b")
    assert data.train.labels.tolist() == [1, 0, 1]
    other = load(tmp_path, train="other-train.tar", test="other-test.tar", image_column="b.png", classes=["x", "y"])
    assert other.classes == ("x", "y")
    assert other.train.labels.tolist() == [0, 1]
    assert (other.train.image(0) == other.train.image(1)).all()


def test_validation_images_are_shards_of_their_own(root: Path) -> None:
    write(root / "val-0.tar", [{"png": encoded(40 + k), "cls": name} for k, name in enumerate(("emu", "cat"))])
    validation = load(root, validation="val-*.tar").validation
    assert validation is not None
    assert validation.labels.tolist() == [2, 0]
    expected = np.asarray(Image.open(io.BytesIO(encoded(41))).convert("RGB"))
    assert (validation.image(1).permute(1, 2, 0).numpy() == expected).all()
    message = refusal(lambda: load(root, validation="train-0001.tar"))
    assert "train-0001.tar is named by both data.train and data.validation" in message


# --- the index -------------------------------------------------------------------------------------------


def test_a_shard_is_indexed_once_until_it_changes(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    reading = shard_index._read_shard

    def noting(shard: Path, columns: shard_index.Columns) -> shard_index.ShardIndex:
        read.append(shard.name)
        return reading(shard, columns)

    monkeypatch.setattr(shard_index, "_read_shard", noting)
    first = load(root)
    assert read == ["train-0000.tar", "train-0001.tar", "test-0000.tar"]
    assert load(root).description == first.description
    assert len(read) == 3
    (root / "train-0001.tar").touch()
    load(root)
    assert read[3:] == ["train-0001.tar"]
    for file in cache.glob("shard-*.npz"):  # a damaged index is made anew
        file.write_bytes(file.read_bytes()[:-100])
    assert load(root).description == first.description
    assert len(read) == 7


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(root: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert len(load(root).train) == 3 * EACH


def test_a_shard_that_changes_meanwhile_is_named(root: Path) -> None:
    data = load(root, on_the_fly=True, image_size=6)
    shard = write(root / "train-0001.tar", [{"png": encoded(3), "cls": "cat"}] * 6)
    data.train.image(0)
    assert f"{shard} has changed since its index was read" in refusal(lambda: data.train.image(11))
    shard.unlink()
    assert f"{shard} cannot be read" in refusal(lambda: data.train.image(11))


# --- damage and mistakes ---------------------------------------------------------------------------------


def test_a_shard_that_is_cut_anywhere_is_refused(root: Path) -> None:
    shard = root / "train-0001.tar"
    whole = shard.read_bytes()
    end = len(whole.rstrip(b"\0"))
    end += -end % 512  # where the blocks of zeros begin that end an archive
    for length in [*range(0, end + 1, 512), *range(1, end, 700), end + 511]:
        shard.write_bytes(whole[:length])
        assert f"{shard} is no whole tar archive" in refusal(lambda: load(root)), length
    shard.write_bytes(whole[: end + 512])  # one block of zeros is an end, as GNU tar has it
    assert len(load(root).train) == 3 * EACH


def test_a_damaged_head_is_no_end_of_a_shard(root: Path) -> None:
    shard = root / "train-0001.tar"
    content = bytearray(shard.read_bytes())
    with tarfile.open(shard) as archive:
        third = archive.getmembers()[2]
    content[third.offset + 10] ^= 1
    shard.write_bytes(content)
    assert f"byte {third.offset:,} is neither the head of a file nor the end" in refusal(lambda: load(root))


def test_joined_and_compressed_shards_are_refused(root: Path) -> None:
    shard = root / "train-0001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content * 2)
    assert "other files follow behind its end" in refusal(lambda: load(root))
    with tarfile.open(shard, "w:gz"):
        pass
    assert "compressed (gzip)" in refusal(lambda: load(root))


GOOD = {"png": encoded(0), "cls": "cat"}


@pytest.mark.parametrize(
    ("sample", "more", "said"),
    [
        ({"cls": "cat"}, {}, ["no images in sample '0001'", "which has cls", "data.image_column"]),
        ({"a.png": b"x", "b.png": b"x", "cls": "cat"}, {}, ["2 images in sample '0001'", "a.png, b.png, cls"]),
        ({"png": encoded(0)}, {}, ["no label in sample '0001'", "x.cls, or 'label' in x.json"]),
        ({"png": encoded(0), "cls": " "}, {}, ["the label in 0001.cls is ''"]),
        ({"png": encoded(0), "cls": b"\xff"}, {}, ["0001.cls cannot be read", "can't decode byte 0xff"]),
        ({"png": encoded(0), "cls": "x" * 2000}, {}, ["sample '0001'", "1,024 bytes", "2,000"]),
        ({"png": encoded(0), "json": b"{"}, {}, ["0001.json cannot be read"]),
        ({"png": encoded(0), "json": b"[" * 100_000}, {}, ["0001.json cannot be read"]),
        ({"png": encoded(0), "json": b"[1]"}, {}, ["the label in 0001.json is 'None'"]),
        ({"png": encoded(0), "json": {"label": 0.5}}, {}, ["the label in 0001.json is '0.5'", "field 'label'"]),
        ({"png": encoded(0), "json": b'{"label": "\\ud800"}'}, {}, ["0001.json cannot be read"]),
        (GOOD, {"label_column": "kind"}, ["no label in sample '0000'", "'kind' in x.json"]),
        (GOOD, {"image_column": "jpg"}, ["no images in sample '0000'"]),
        (GOOD, {"classes": ["dog"]}, ["train.tar: 0000.png: the label 'cat' is none of the 1 classes"]),
        (GOOD, {"test": "train.tar"}, ["train.tar is named by both data.train and data.test"]),
        (GOOD, {"test": "none*.tar"}, ["no file that data.test, none*.tar, names"]),
        ({"png": b"", "cls": "cat"}, {}, ["train.tar: 0001.png cannot be read as an image"]),
    ],
)
def test_samples_that_cannot_be_used_are_refused(
    tmp_path: Path, sample: Sample, more: dict[str, Any], said: list[str]
) -> None:
    write(tmp_path / "train.tar", [GOOD, sample])
    write(tmp_path / "test.tar", [GOOD])
    message = refusal(lambda: load(tmp_path, **more))
    assert all(words in message for words in said), message


def test_files_of_a_sample_must_follow_one_another(tmp_path: Path) -> None:
    write(tmp_path / "test.tar", [GOOD])
    write_tar(tmp_path / "train.tar", [("1.png", b"x"), ("2.png", b"x"), ("1.cls", b"0"), ("2.cls", b"0")])
    assert "must follow one another" in refusal(lambda: load(tmp_path))
    write_tar(tmp_path / "train.tar", [("1.png", b"x"), ("1.PNG", b"x"), ("1.cls", b"0")])
    assert "sample '1' has two files 'png'" in refusal(lambda: load(tmp_path))
    write_tar(tmp_path / "train.tar", [])
    assert "train.tar holds no sample" in refusal(lambda: load(tmp_path))


# --- patterns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        # as bash expands them
        ("s-{08..10}.tar", ["s-08.tar", "s-09.tar", "s-10.tar"]),
        ("s-{8..10}.tar", ["s-8.tar", "s-9.tar", "s-10.tar"]),
        ("{b,a}-{0..1}.tar", ["b-0.tar", "b-1.tar", "a-0.tar", "a-1.tar"]),
        ("s-0*.tar", ["s-08.tar", "s-09.tar"]),
        ("{s-1*,a-?}.tar", ["s-10.tar", "a-0.tar", "a-1.tar"]),
        ("b-0.tar", ["b-0.tar"]),
    ],
)
def test_braces_and_wildcards_name_files(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for name in ("s-08", "s-09", "s-10", "s-8", "s-9", "a-0", "a-1", "b-0", "b-1"):
        (tmp_path / f"{name}.tar").touch()
    assert [file.name for file in files_of(tmp_path, pattern, "data.train")] == expected


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("s-{0..2}.tar", "there is no {root}/s-1.tar that data.train, s-{{0..2}}.tar, names"),
        ("t-*.tar", "there is no file that data.train"),
        ("s-{2..0}.tar", "counts from 2 to 0"),
        ("s-{0,0}.tar", "names a file twice"),
        ("s-{0..9}{0..999999}.tar", "more than 100,000 files"),
        ("pipe:curl https://example.org/s.tar", "neither pipes nor URLs are"),
    ],
)
def test_patterns_that_name_no_files_are_refused(tmp_path: Path, pattern: str, said: str) -> None:
    (tmp_path / "s-0.tar").touch()
    message = refusal(lambda: files_of(tmp_path, pattern, "data.train"))
    assert said.format(root=tmp_path) in message, message
