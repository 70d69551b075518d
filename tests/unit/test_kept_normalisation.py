"""The normalisation of a folder of pictures is measured once, and again when a picture has changed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import load_dataset
from kcd_pipeline.data.normalisation import Normalisation, measure_normalisation
from kcd_pipeline.data.pictures import load

GREYS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "train": {"a": (0, 51), "b": (102, 255)},
    "test": {"a": (0,), "b": (0,)},
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of one grey each, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for split, classes in GREYS.items():
        for name, greys in classes.items():
            for number, grey in enumerate(greys):
                save(tmp_path / split / name / f"{number}.png", grey)
    return tmp_path


def save(file: Path, grey: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (grey, grey, grey)).save(file)


def of_channels(values: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of pictures of one grey each, alike in three channels, to four digits."""
    return (round(float(np.mean(values)), 4),) * 3, (round(float(np.std(values)), 4),) * 3


def loaded(root: Path, **more: object) -> tuple[tuple[float, ...], tuple[float, ...]]:
    dataset = load_dataset(DataConfig.model_validate({"name": "imagefolder", "root": root, **more}))
    return tuple(dataset.mean), tuple(dataset.std)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each measurement was of."""
    counts: list[int] = []

    def counted(images: Tensor) -> Normalisation:
        counts.append(len(images))
        return measure_normalisation(images)

    monkeypatch.setattr(load, "measure_normalisation", counted)
    return counts


EVERY = of_channels((0, 0.2, 0.4, 1))  # 0, 51, 102 and 255 of 255


def test_a_part_of_the_pictures_is_normalised_as_the_whole_without_the_whole_being_decoded(
    root: Path, measured: list[int]
) -> None:
    assert loaded(root) == EVERY
    assert loaded(root, limit_per_class=1) == EVERY
    assert loaded(root) == EVERY
    assert measured == [4]


def test_a_picture_that_changed_is_measured(root: Path, measured: list[int]) -> None:
    assert loaded(root) == EVERY
    save(root / "train" / "b" / "1.png", 153)
    assert loaded(root) == of_channels((0, 0.2, 0.4, 0.6))
    assert measured == [4, 4]


def test_pictures_on_the_fly_have_an_entry_of_their_own(root: Path, measured: list[int]) -> None:
    """They are cropped, and of large sets only some are measured."""
    assert loaded(root) == EVERY
    assert loaded(root, on_the_fly=True, image_size=8) == EVERY
    assert loaded(root, on_the_fly=True, image_size=8) == EVERY
    assert measured == [4, 4]


@pytest.mark.parametrize("damage", [b"", b"[[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]]\n"])
def test_an_entry_that_is_damaged_is_made_anew(root: Path, measured: list[int], damage: bytes) -> None:
    assert loaded(root) == EVERY
    (entry,) = (root / "cache" / "kcd-pipeline").glob("normalisation-*")
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert loaded(root, limit_per_class=1) == EVERY
    assert entry.read_bytes() == whole
    assert measured == [4, 4]
