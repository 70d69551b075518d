"""Stores and runs of pictures that are mixed: the stored row is the teacher's of the picture that a student sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.mixed import mixed_by_hand
from tests.support.recipes import as_overrides

from kcd_pipeline.augmentation import build_mixing
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
    config = settings(folder)
    teacher, _ = load_teacher(config, load_dataset(config.data))
    with torch.no_grad():
        expected = teacher.eval()(mixed_by_hand(config, 1)).numpy()
    store, mixing = KnowledgeStore.open(str(config.store.path)), build_mixing(config.augmentation)
    np.testing.assert_allclose(store.read_rows(1, 0, len(expected)), expected, atol=2e-4)
    assert mixing is not None
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
