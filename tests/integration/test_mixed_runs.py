"""Stores and runs of pictures that are mixed: the stored row is the teacher's of the picture that a student sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.recipes import as_overrides

from kcd_pipeline.augmentation import build_augmentation, build_mixing
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.distillation import distill
from kcd_pipeline.errors import UserError
from kcd_pipeline.export import export_condensed
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import load_teacher, train_teacher
from kcd_stores import KnowledgeStore, StoreMismatchError

CPU = torch.device("cpu")
MIX = "{name: mixup-cutmix, alpha: 0.5}"


def settings(folder: Path, run: str = "run", **more: Any) -> Config:
    """Return a recipe of 100 real digits that are mixed."""
    chosen = {
        "data.limit_per_class": 10,
        "data.test_limit_per_class": 10,
        "augmentation.mix": MIX,
        "teacher.weights": folder / "teacher.safetensors",
        "teacher.model": "resnet8",
        "teacher.epochs": 1,
        "store.path": folder / "store.zarr",
        "store.views": 2,
        "store.encoding": "float32",
        "store.block_rows": 32,
        "student.model": "resnet8",
        "distill.epochs": 2,
        "distill.batch_size": 32,
        "condense.interval": 1,
        "run.dir": folder / run,
        "run.device": "cpu",
        "run.threads": 1,
    }
    return load_config("digits", as_overrides(chosen, **more))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a teacher that was trained on mixed pictures, and its store."""
    made = tmp_path_factory.mktemp("mixed")
    train_teacher(settings(made))
    extract_teacher(settings(made))
    return made


def test_a_stored_row_is_what_the_teacher_says_of_the_mixed_picture(folder: Path) -> None:
    """The pictures are mixed here in floating point, from views that are not mixed, and rounded to bytes."""
    config = settings(folder)
    dataset, mixing = load_dataset(config.data), build_mixing(config.augmentation)
    assert mixing is not None
    count, (height, width) = len(dataset.train), dataset.image_shape[1:]
    drawn = mixing.draw(np.arange(count), 1, samples=count, height=height, width=width)
    augment = build_augmentation(config.augmentation)
    images = torch.stack([dataset.train.image(sample) for sample in range(count)])
    alone = augment(images, np.arange(count), 1).double()
    weight, top, bottom, left, right = drawn.parameters
    w = torch.from_numpy(weight / 2**16)[:, None, None, None]
    mixed = torch.floor(w * alone + (1 - w) * alone[drawn.partner] + 0.5)
    for k in range(count):
        rows, columns = slice(top[k], bottom[k]), slice(left[k], right[k])
        mixed[k, :, rows, columns] = alone[drawn.partner[k], :, rows, columns]
    mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (dataset.mean, dataset.std))
    teacher, _ = load_teacher(config, dataset)
    with torch.no_grad():
        expected = teacher.eval()(((mixed / 255 - mean) / std).float()).numpy()
    store = KnowledgeStore.open(str(config.store.path))
    np.testing.assert_allclose(store.read_rows(1, 0, count), expected, atol=2e-4)
    assert store.made_from["augmentation"]["mix"] == mixing.describe()


def test_students_of_each_method_learn_from_mixed_pictures(folder: Path) -> None:
    for method in ("none", "kd", "kcd"):
        config = settings(folder, method, distill__method=method, condense__value="loss")
        found = distill(config).summary
        assert found["samples_trained"] > 100
        assert np.isfinite([line["loss"] for line in RunFolder(folder / method).read_metrics()]).all()
    with pytest.raises(UserError, match="partners of those that it keeps"):
        export_condensed(folder / "kcd", str(folder / "condensed.zarr"))


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ("null", "augmentation.mix.name: found mixup-cutmix, expected .nothing."),
        ("mixup", "augmentation.mix.name: found mixup-cutmix, expected mixup"),
        ("{name: mixup-cutmix}", "augmentation.mix.alpha: found 0.5, expected 0.8"),
    ],
)
def test_a_store_of_pictures_that_are_mixed_in_another_way_is_refused(folder: Path, mix: str, message: str) -> None:
    with pytest.raises(StoreMismatchError, match=message):
        distill(settings(folder, "refused", augmentation__mix=mix, distill__method="kd"))
    assert not (folder / "refused").exists()
