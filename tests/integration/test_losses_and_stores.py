"""Every loss trains a condensed student, also from a store that keeps a few classes of each row."""

from pathlib import Path
from typing import Any

import pytest

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.reports.collect.runs import read_run
from kcd_pipeline.teacher import train_teacher

LOSSES: dict[str, list[str]] = {
    "kd": [],
    "standardised": ["distill.loss.standardise=true"],
    "dkd": ["distill.loss.name=dkd", "distill.kd_weight=0.2"],
    "dist": ["distill.loss.name=dist"],
}


def settings(folder: Path, *more: str) -> Config:
    chosen: dict[str, Any] = {
        "data.limit_per_class": 100,
        "teacher.model": "resnet8",
        "teacher.weights": folder / "teacher.safetensors",
        "teacher.epochs": 8,
        "store.path": folder / "store.zarr",
        "store.views": 2,
        "store.encoding": "topk",
        "store.top_k": 3,
        "distill.epochs": 8,
        "condense.interval": 4,
        "run.threads": 1,
    }
    return load_config("digits", [*(f"{key}={value}" for key, value in chosen.items()), *more])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher and a topk store of 3 of 10 classes."""
    folder = tmp_path_factory.mktemp("losses")
    train_teacher(settings(folder))
    extract_teacher(settings(folder))
    return folder


@pytest.mark.parametrize("loss", LOSSES)
def test_kcd_takes_every_loss_from_a_topk_store(home: Path, loss: str) -> None:
    run = distill(settings(home, *LOSSES[loss], f"run.dir={home / loss}"))
    assert run.summary["test_accuracy"] > 0.3, "ten classes: far above chance"
    assert run.summary["kept_fraction"] == [1.0, 0.7]
    assert read_run(run.folder.path).method_in_words == ("kcd" if loss == "kd" else f"kcd, {loss}")
