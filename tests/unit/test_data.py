"""Data sets: read as they are on disk; files that are missing, damaged or inconsistent are refused by name."""

import gzip
import hashlib
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split
from torchvision import datasets

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import InMemorySplit, digits, load_dataset
from kcd_pipeline.data.normalisation import measure_normalisation
from kcd_pipeline.errors import FailedError, UserError


def load(name: str, root: Path = Path("nowhere"), **more: Any) -> Any:
    return load_dataset(DataConfig.model_validate({"name": name, "root": root, **more}))


def refusal(name: str, root: Path, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(name, root, **more)
    return str(caught.value)


def split_of(images: np.ndarray, labels: list[int]) -> InMemorySplit:
    return InMemorySplit(images=torch.from_numpy(images), labels=torch.tensor(labels))


@pytest.fixture(scope="module")
def digit_split() -> InMemorySplit:
    split: InMemorySplit = load("digits").train
    return split


# --- InMemorySplit and Dataset ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64)),  # not bytes
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),  # no channels
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int32)),
    ],
)
def test_a_split_of_the_wrong_shape_or_type_cannot_be_made(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="must be"):
        InMemorySplit(images=images, labels=labels)


def test_the_fingerprint_is_of_content_not_of_memory_layout(digit_split: InMemorySplit) -> None:
    transposed = digit_split.images.transpose(2, 3).contiguous().transpose(2, 3)
    assert not transposed.is_contiguous()
    again = InMemorySplit(images=transposed, labels=digit_split.labels.clone())
    assert again.fingerprint(list("0123456789")) == digit_split.fingerprint(tuple("0123456789"))


def test_the_fingerprint_changes_with_one_pixel_one_label_one_class_name_or_the_shape(
    digit_split: InMemorySplit,
) -> None:
    classes = tuple("0123456789")
    before = digit_split.fingerprint(classes)
    images, labels = digit_split.images.clone(), digit_split.labels.clone()
    images[700, 0, 3, 4] ^= 1
    labels[700] = (labels[700] + 1) % 10
    others = {
        InMemorySplit(images=images, labels=digit_split.labels).fingerprint(classes),
        InMemorySplit(images=digit_split.images, labels=labels).fingerprint(classes),
        digit_split.fingerprint((*classes[:9], "nine")),
        InMemorySplit(images=digit_split.images.reshape(-1, 1, 4, 16), labels=digit_split.labels).fingerprint(classes),
        InMemorySplit(images=digit_split.images.flip(0), labels=digit_split.labels.flip(0)).fingerprint(classes),
    }
    assert len(others | {before}) == 6


def test_first_per_class_takes_the_first_of_each_class_in_the_same_order() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    limited = split_of(images, [2, 0, 2, 1, 0, 2, 0, 1]).first_per_class(2)
    assert limited.images.flatten().tolist() == [0, 1, 2, 3, 4, 7]
    assert limited.labels.tolist() == [2, 0, 2, 1, 0, 1]


def test_limited_to_more_than_there_are_is_everything() -> None:
    split = split_of(np.zeros((3, 1, 1, 1), np.uint8), [0, 1, 1])
    assert split.first_per_class(5).labels.tolist() == [0, 1, 1]


def test_a_limit_leaves_the_test_set_and_the_normalisation_as_they_are() -> None:
    whole, part = load("digits"), load("digits", limit_per_class=3)
    assert len(part.train) == 30
    assert len(part.test) == len(whole.test) == 360
    assert (part.mean, part.std) == (whole.mean, whole.std)
    assert part.description["fingerprint"] != whole.description["fingerprint"]


def test_measured_normalisation_is_numpys_mean_and_deviation() -> None:
    photographs = np.stack(load_sample_images().images).transpose(0, 3, 1, 2)
    mean, std = measure_normalisation(torch.from_numpy(photographs.copy()))
    scaled = photographs.astype(np.float64) / 255
    assert mean == pytest.approx(scaled.mean(axis=(0, 2, 3)), abs=0.5001e-4)
    assert std == pytest.approx(scaled.std(axis=(0, 2, 3)), abs=0.5001e-4)
    assert len(set(mean)) == len(set(std)) == 3


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    mean, std = measure_normalisation(torch.full((2, 1, 4, 4), 51, dtype=torch.uint8))
    assert mean == (0.2,)
    assert std == (1e-4,)


# --- digits ----------------------------------------------------------------------------------------------


def test_digits_are_all_of_scikit_learns_images_each_in_one_split() -> None:
    data = load("digits")
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.image_shape == [1, 8, 8]
    assert data.classes == tuple("0123456789")
    source = load_digits()
    # 0..16 onto 0..255: 255/16 = 15.9375, so 1 -> 16, 8 -> 127.5 -> 128 (to even), 16 -> 255
    levels = {0: 0, 1: 16, 8: 128, 16: 255}
    both = torch.cat([data.train.images, data.test.images]).flatten(1).numpy()
    labels = torch.cat([data.train.labels, data.test.labels]).numpy()
    ours = sorted((image.tobytes(), int(label)) for image, label in zip(np.round(both / 15.9375), labels, strict=True))
    theirs = sorted((image.tobytes(), int(label)) for image, label in zip(source.data, source.target, strict=True))
    assert ours == theirs
    assert {level: int(both[np.round(both / 15.9375) == level].max()) for level in levels} == levels


def test_each_digit_has_a_fifth_of_its_images_in_the_test_set() -> None:
    data = load("digits")
    of_all = np.bincount(load_digits().target)
    tested = np.bincount(data.test.labels.numpy())
    assert np.abs(tested - of_all / 5).max() <= 1


def test_the_split_of_digits_is_scikit_learns_own() -> None:
    labels = load_digits().target
    _, chosen = train_test_split(np.arange(len(labels)), test_size=360, random_state=0, stratify=labels)
    assert np.loadtxt(digits.TEST_SAMPLES, dtype=np.int64).tolist() == sorted(chosen.tolist())


def test_the_split_of_digits_is_the_one_that_all_results_are_on() -> None:
    data = load("digits")
    # Regression values: the split and the pixels are still those of the first release. If a new scikit-learn
    # changes its file, every number in the README and every store of digits is of another data set.
    assert data.train.fingerprint(data.classes).startswith("12097c623f7d6161")
    assert data.test.fingerprint(data.classes).startswith("a32f1ff9e230a633")


# --- IDX files -------------------------------------------------------------------------------------------

PREFIXES = {"train": 6, "t10k": 4}


def idx(array: np.ndarray) -> bytes:
    """Write the format as its authors describe it: 0, 0, type (8 = bytes), rank, big-endian sizes, data."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_files() -> dict[str, bytes]:
    """Four small files named as Fashion-MNIST's."""
    files = {}
    for seed, (prefix, count) in enumerate(PREFIXES.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx(pixels)
        files[f"{prefix}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8) + 3)
    return files


def write_idx(folder: Path, *, zipped: bool) -> None:
    folder.mkdir(parents=True)
    for name, content in idx_files().items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content)) if zipped else (folder / name).write_bytes(content)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", [".", "FashionMNIST/raw"])
def test_idx_files_are_read_plain_or_zipped_from_debians_and_torchvisions_folder(
    tmp_path: Path, zipped: bool, place: str
) -> None:
    write_idx(tmp_path / "data" / place, zipped=zipped)
    data = load("fashion-mnist", tmp_path / "data")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    assert np.array_equal(data.train.images.numpy(), pixels[:, None])
    assert data.train.labels.tolist() == [3, 4, 5, 6, 7, 8]
    assert data.test.images.shape == (4, 1, 28, 28)
    assert data.classes[0] == "T-shirt/top"
    assert len(data.classes) == 10


def test_the_same_content_has_the_same_fingerprint_wherever_it_is_read_from(tmp_path: Path) -> None:
    write_idx(tmp_path / "debian", zipped=True)
    write_idx(tmp_path / "torchvision" / "FashionMNIST" / "raw", zipped=False)
    first, second = (load("fashion-mnist", tmp_path / name) for name in ("debian", "torchvision"))
    assert first.description == second.description


def test_torchvision_reads_the_same_from_the_same_files(tmp_path: Path) -> None:
    write_idx(tmp_path / "FashionMNIST" / "raw", zipped=False)
    theirs = datasets.FashionMNIST(str(tmp_path), train=True)
    ours = load("fashion-mnist", tmp_path).train
    assert torch.equal(ours.images[:, 0], theirs.data)
    assert torch.equal(ours.labels, theirs.targets)


def test_missing_fashion_mnist_says_how_to_get_it(tmp_path: Path) -> None:
    message = refusal("fashion-mnist", tmp_path / "nothing")
    assert f"fashion-mnist is not in {tmp_path / 'nothing'}" in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert "--set data.download=true" in message


def test_one_missing_file_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path / "data", zipped=True)
    (tmp_path / "data" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert "no t10k-labels-idx1-ubyte (or .gz)" in refusal("fashion-mnist", tmp_path / "data")


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[:-1],
    "too long": lambda content: content + b"\0",
    "only a header": lambda content: content[:16],
    "half a header": lambda content: content[:7],
    "empty": lambda content: b"",
    "of floats": lambda content: content[:2] + b"\x0d" + content[3:],
    "something else": lambda content: b"<html>not found</html>" * 50,
    "of many dimensions": lambda content: content[:3] + b"\xff" + b"\0\0\0\1" * 300,
    "of sizes whose product is 2**64": lambda content: struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 4),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_idx_file_is_named(tmp_path: Path, damage: str) -> None:
    write_idx(tmp_path / "data", zipped=False)
    file = tmp_path / "data" / "train-images-idx3-ubyte"
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    assert f"{file} is damaged: it" in refusal("fashion-mnist", tmp_path / "data")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-20],
        lambda content: content[:200] + bytes(50) + content[250:],
        lambda content: b"not gzip at all",
    ],
    ids=["cut short", "overwritten", "not gzip"],
)
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_idx(tmp_path / "data", zipped=True)
    file = tmp_path / "data" / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    assert f"{file} is damaged" in refusal("fashion-mnist", tmp_path / "data")


def test_images_and_labels_of_different_number_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "data", zipped=False)
    shutil.copy(tmp_path / "data" / "t10k-labels-idx1-ubyte", tmp_path / "data" / "train-labels-idx1-ubyte")
    message = refusal("fashion-mnist", tmp_path / "data")
    assert "train images (6, 28, 28) and labels (4,) do not belong together" in message


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "data", zipped=False)
    (tmp_path / "data" / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(6, 12, dtype=np.uint8)))
    assert "train labels go up to 11, but there are 10 classes" in refusal("fashion-mnist", tmp_path / "data")


def test_test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "data", zipped=False)
    (tmp_path / "data" / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((4, 14, 14), np.uint8)))
    message = refusal("fashion-mnist", tmp_path / "data")
    assert "training images are [1, 28, 28] and test images [1, 14, 14]" in message


REAL = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not REAL.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_is_whole() -> None:
    data = load("fashion-mnist", REAL)
    assert data.train.images.shape == (60_000, 1, 28, 28)
    assert data.test.images.shape == (10_000, 1, 28, 28)
    assert np.bincount(data.train.labels.numpy()).tolist() == [6_000] * 10
    assert data.mean == pytest.approx([0.2860], abs=1e-4)  # the values that papers use
    assert data.std == pytest.approx([0.3530], abs=1e-4)


# --- CIFAR -----------------------------------------------------------------------------------------------

CIFAR = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py", ["data_batch_1", "data_batch_2"], "test_batch", "batches.meta"),
    "cifar100": ("CIFAR100", "cifar-100-python", ["train"], "test", "meta"),
}


def cifar_batch(seed: int, classes: int) -> dict[str, Any]:
    """Return eight images as CIFAR's pickles hold them: a row is 1,024 red, then green, then blue bytes."""
    rows = np.random.default_rng(seed).integers(0, 256, (8, 3072), dtype=np.uint8)
    return {
        "data": rows,
        "labels" if classes == 10 else "fine_labels": [(seed + k) % classes for k in range(8)],
        "filenames": [f"{seed}-{k}.png" for k in range(8)],
    }


@pytest.fixture(params=CIFAR)
def cifar(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A small folder in the real format, with torchvision's checksums replaced by those of its files."""
    name: str = request.param
    class_name, folder_name, train, test, meta = CIFAR[name]
    classes = 10 if name == "cifar10" else 100
    folder = tmp_path / folder_name
    folder.mkdir()

    def write(file: str, content: dict[str, Any]) -> list[str]:
        raw = pickle.dumps(content)
        (folder / file).write_bytes(raw)
        return [file, hashlib.md5(raw).hexdigest()]

    source = getattr(datasets, class_name)
    key = "label_names" if classes == 10 else "fine_label_names"
    meta_sum = write(meta, {key: [f"class {k}" for k in range(classes)]})[1]
    monkeypatch.setattr(source, "train_list", [write(file, cifar_batch(k, classes)) for k, file in enumerate(train)])
    monkeypatch.setattr(source, "test_list", [write(test, cifar_batch(9, classes))])
    monkeypatch.setattr(source, "meta", {"filename": meta, "key": key, "md5": meta_sum})
    return name, tmp_path


def test_cifar_is_read_in_order_with_its_channels_first(cifar: tuple[str, Path]) -> None:
    name, root = cifar
    data = load(name, root)
    batches = [cifar_batch(k, len(data.classes)) for k in range(len(CIFAR[name][2]))]
    raw = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    assert np.array_equal(data.train.images.numpy(), raw)
    key = "labels" if name == "cifar10" else "fine_labels"
    assert data.train.labels.tolist() == [label for batch in batches for label in batch[key]]
    assert np.array_equal(data.test.images.numpy(), cifar_batch(9, 10)["data"].reshape(-1, 3, 32, 32))
    assert data.classes[:2] == ("class 0", "class 1")


def test_cifar_is_normalised_as_the_field_does(cifar: tuple[str, Path]) -> None:
    data = load(*cifar)
    known = {"cifar10": (0.4914, 0.2470), "cifar100": (0.5071, 0.2675)}  # of the red channel
    assert (data.mean[0], data.std[0]) == known[cifar[0]]


def test_missing_cifar_says_how_to_get_it(cifar: tuple[str, Path], tmp_path: Path) -> None:
    name, _ = cifar
    message = refusal(name, tmp_path / "nothing")
    assert f"{name} is not (whole) in {tmp_path / 'nothing'}" in message
    assert "--set data.download=true" in message


def test_a_damaged_cifar_file_is_noticed(cifar: tuple[str, Path]) -> None:
    name, root = cifar
    _, folder, train, _, _ = CIFAR[name]
    file = root / folder / train[0]
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert f"{name} is not (whole) in {root}: torchvision says 'Dataset not found or corrupted" in refusal(name, root)


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
@pytest.mark.parametrize(
    "error",
    [
        URLError("Name or service not known"),
        IncompleteRead(b"Name or service not known"),
        ConnectionResetError("Name or service not known"),
        TimeoutError("Name or service not known"),
    ],
)
def test_a_failed_download_is_explained_in_one_sentence(
    name: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(self: Any) -> None:
        raise error

    for source in (datasets.CIFAR10, datasets.MNIST):
        monkeypatch.setattr(source, "download", unreachable)
    with pytest.raises(FailedError, match=f"{name} could not be fetched into .*"):
        load(name, tmp_path, download=True)


# --- folders of images -----------------------------------------------------------------------------------


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
