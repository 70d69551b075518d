"""IDX files and CIFAR, read as they are published; missing, damaged and inconsistent ones are refused by name."""

import gzip
import hashlib
import pickle
import shutil
import struct
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from tests.support.data_sets import load, refusal
from torchvision import datasets

from kcd_pipeline.errors import FailedError

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
