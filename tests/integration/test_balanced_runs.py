"""Runs that learn from classes of different sizes: the balanced sampler, weights of classes, stochastic depth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.recipes import as_overrides

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.distillation import distill
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.errors import UserError
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.models import load_weights, weights_hash
from kcd_pipeline.runs import RunFolder, open_values
from kcd_pipeline.teacher import train_teacher
from kcd_pipeline.teacher.train import TeacherCurriculum
from kcd_stores import KnowledgeStore

SIZES = (30, 18, 2, 2, 2, 2, 1, 1, 1, 1)  # 60 samples of ten classes: six draws of each in an epoch
EPOCHS = 3


def settings(folder: Path, **more: Any) -> Config:
    chosen = {
        "data.test_limit_per_class": 3,
        "run.threads": 1,
        "run.device": "cpu",
        "teacher.weights": folder.parent / "teacher.safetensors",
        "teacher.model": "resnet8",
        "teacher.epochs": 1,
        "store.path": folder.parent / "store.zarr",
        "store.views": 2,
        "store.block_rows": 16,
        "distill.method": "kd",
        "distill.epochs": EPOCHS,
        "distill.batch_size": 16,
        "distill.sampler": "balanced",
        "run.dir": folder,
    }
    return load_config("digits", as_overrides(chosen, **more))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Digits of which there are fewer the larger they are."""
    whole = load_dataset(settings(tmp_path_factory.mktemp("none") / "none").data)
    labels = whole.train.labels.numpy()
    chosen = [np.flatnonzero(labels == label)[:size] for label, size in enumerate(SIZES)]
    return whole.with_train_subset(np.sort(np.concatenate(chosen)))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, few: Dataset) -> Path:
    """A folder with a teacher that was trained on balanced draws, a store, and a run of kd."""
    folder = tmp_path_factory.mktemp("balanced")
    config = settings(folder / "kd", teacher__sampler="balanced")
    train_teacher(config, dataset=few)
    extract_teacher(config, dataset=few)
    distill(config, dataset=few)
    return folder


def frequencies(folder: Path, epoch: int = EPOCHS - 1) -> np.ndarray:
    return open_values(RunFolder(folder)).read(epoch)[1]


def weights_of(folder: Path) -> str:
    return weights_hash(load_weights(RunFolder(folder).weights).state)


def test_every_epoch_has_equally_many_of_each_class(home: Path, few: Dataset) -> None:
    labels = few.train.labels.numpy()
    for epoch in range(EPOCHS):
        by_class = np.bincount(labels, weights=frequencies(home / "kd", epoch))
        assert by_class.tolist() == [6 * (epoch + 1)] * 10
    metrics = RunFolder(home / "kd").read_metrics()
    assert [line["samples"] for line in metrics] == [line["rows"] for line in metrics] == [60] * EPOCHS
    single = frequencies(home / "kd")[labels == 9]
    assert single.tolist() == [18]  # six times an epoch
    value = open_values(RunFolder(home / "kd")).read(EPOCHS - 1)[0]
    np.testing.assert_array_equal(np.isnan(value), frequencies(home / "kd") == 0)


def test_a_teacher_draws_as_a_student_does(home: Path, few: Dataset) -> None:
    labels = few.train.labels.numpy()
    curriculum = TeacherCurriculum(labels, 0, balanced=True, cross_entropy=None)  # type: ignore[arg-type]  # not called
    drawn = np.zeros(len(labels), dtype=np.int64)
    for epoch in range(EPOCHS):
        lesson = curriculum.lesson(epoch)
        for order, _ in lesson.parts:
            drawn += np.bincount(order, minlength=len(labels))
        assert lesson.samples == 60
    assert drawn.tolist() == frequencies(home / "kd").tolist()


@pytest.mark.loops
def test_a_student_without_a_teacher_and_one_that_reads_windows_have_the_same_draws(home: Path, few: Dataset) -> None:
    windows = 2 * len(few.train) * KnowledgeStore.open(home / "store.zarr").row_bytes - 1
    distill(settings(home / "windows", store__memory=windows), dataset=few)
    assert "block shuffle" in RunFolder(home / "windows").read_summary()["streaming"]
    distill(settings(home / "none", distill__method="none"), dataset=few)
    for name in ("windows", "none"):
        np.testing.assert_array_equal(frequencies(home / name), frequencies(home / "kd"))


def test_rows_cut_the_last_epoch_short_class_by_class(home: Path, few: Dataset) -> None:
    distill(settings(home / "cut", distill__rows=145), dataset=few)
    labels = few.train.labels.numpy()
    by_class = np.bincount(labels, weights=frequencies(home / "cut") - frequencies(home / "cut", 1))
    assert sorted(by_class.tolist()) == [2] * 5 + [3] * 5
    assert [line["rows"] for line in RunFolder(home / "cut").read_metrics()] == [60, 60, 25]


@pytest.mark.loops
@pytest.mark.parametrize(
    "change",
    [
        {"distill__class_weights": "{9: 3}", "distill__label_smoothing": 0.1, "distill__sampler": "shuffled"},
        {"student__model": "timm/test_resnet", "student__arguments": "{drop_path_rate: 0.5}"},
    ],
    ids=["weights", "stochastic depth"],
)
def test_a_run_that_was_stopped_ends_with_the_same_weights(
    home: Path, few: Dataset, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], request: Any
) -> None:
    name = request.node.callspec.id.replace(" ", "-")
    distill(settings(home / f"{name}-whole", **change), dataset=few)
    record = StudentCurriculum.record

    def stop_in_second_epoch(curriculum: StudentCurriculum, epoch: int, *rest: Any) -> dict[str, float]:
        if epoch == 1:
            raise KeyboardInterrupt
        return record(curriculum, epoch, *rest)

    config = settings(home / f"{name}-stopped", **change)
    with monkeypatch.context() as patched:
        patched.setattr(StudentCurriculum, "record", stop_in_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            distill(config, dataset=few)
    np.random.rand(3)  # noqa: NPY002  # the state of the generators must not matter
    distill(config, dataset=few)
    assert weights_of(home / f"{name}-stopped") == weights_of(home / f"{name}-whole") != weights_of(home / "kd")


def test_what_a_layer_drops_depends_on_seed_epoch_and_rank() -> None:
    import torch

    from kcd_pipeline.training.device import seed_epoch

    def drawn(seed: int, epoch: int, rank: int) -> tuple[float, ...]:
        seed_epoch(seed, epoch, rank)
        return (float(torch.rand(())), float(np.random.rand()))  # noqa: NPY002  # the one that other people's code draws from

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert len({drawn(1, 2, 3), drawn(0, 2, 3), drawn(1, 0, 3), drawn(1, 2, 0)}) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"distill__method": "kcd"},
            "sampler is balanced, but method is kcd, whose policy says what is taught: set cond",
        ),
        ({"distill__class_weights": "balanced"}, "sampler is balanced and class_weights is balanced"),
        ({"distill__sampler": "balance"}, "did you mean 'balanced'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        settings(tmp_path, **change)


def test_weights_of_other_classes_are_refused_before_the_folder_is_made(home: Path, few: Dataset) -> None:
    with pytest.raises(UserError, match="names the class 'ten', which the data set does not have"):
        distill(settings(home / "refused", distill__class_weights="{ten: 2}", distill__sampler="shuffled"), dataset=few)
    assert not (home / "refused").exists()
