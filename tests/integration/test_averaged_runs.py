"""Runs with an average of their weights: what is kept, what readers say of it, and resuming; and a teacher with one."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.commands import succeed
from tests.support.recipes import as_overrides

import kcd_pipeline
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.distillation import distill
from kcd_pipeline.distillation.distill import Distillation
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import build_model, load_weights, weights_hash
from kcd_pipeline.reports import compare_runs, comparison_data
from kcd_pipeline.reports.render import result_tables, table
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import train_teacher
from kcd_pipeline.training import session

EPOCHS = 3


def settings(folder: Path, **more: Any) -> Config:
    """Return a recipe of 80 training, 20 validation and 50 test images of digits, learnt from labels alone."""
    chosen = {
        "data.limit_per_class": 10,
        "data.test_limit_per_class": 5,
        "data.validation": 0.2,
        "teacher.weights": folder / "teacher.safetensors",
        "teacher.model": "resnet8",
        "store.path": folder / "none.zarr",
        "distill.method": "none",
        "distill.epochs": EPOCHS,
        "distill.batch_size": 16,
        "distill.ema": 0.5,
        "distill.clip_norm": 1,
        "distill.accumulate": 2,
        "run.dir": folder / "run",
        "run.device": "cpu",
        "run.threads": 1,
    }
    return load_config("digits", as_overrides(chosen, **more))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Distillation:
    return distill(settings(tmp_path_factory.mktemp("averaged")))


def accuracy(weights: Path, split: Any, config: Config) -> float:
    """Return the accuracy of the weights in a file, by torch alone."""
    dataset = load_dataset(config.data)
    model = build_model("resnet8", channels=1, classes=10)
    model.load_state_dict(load_file(weights))
    assert isinstance(split, InMemorySplit)
    images = (split.images.float() / 255 - torch.tensor(dataset.mean)) / torch.tensor(dataset.std)
    with torch.inference_mode():
        return float((model.eval()(images).argmax(dim=1) == split.labels).double().mean())


def test_accuracies_of_the_average_are_those_of_the_file_that_is_kept(whole: Distillation) -> None:
    folder, summary, lines = whole.folder, whole.summary, whole.folder.read_metrics()
    config = settings(folder.path.parent)
    dataset = load_dataset(config.data)
    assert [line["steps"] for line in lines] == [3] * EPOCHS, "80 images in 5 batches of 16, two a step"
    assert summary["ema_validation_accuracy"] == lines[-1]["ema_validation_accuracy"]
    assert all("ema_test_accuracy" not in line for line in lines), "the test set is looked at once"
    facts = load_weights(folder.averaged_weights).facts
    for split, key in ((dataset.test, "test_accuracy"), (dataset.validation, "validation_accuracy")):
        found = accuracy(folder.averaged_weights, split, config)
        assert found == pytest.approx(summary[f"ema_{key}"], abs=1e-12)
        assert facts[key] == summary[f"ema_{key}"]
        assert accuracy(folder.weights, split, config) == pytest.approx(summary[key], abs=1e-12)
    assert (facts["ema"], facts["epoch"]) == (0.5, EPOCHS - 1)
    assert weights_hash(load_file(folder.weights)) != weights_hash(load_file(folder.averaged_weights))


def test_readers_know_the_average(whole: Distillation) -> None:
    folder, of_test = whole.folder, whole.summary["ema_test_accuracy"]
    assert kcd_pipeline.load_student(folder.averaged_weights).facts["test_accuracy"] == of_test
    found = json.loads(succeed("evaluate", folder.averaged_weights, "--json"))
    assert found["top1"] == pytest.approx(of_test, abs=1e-9)
    facts = json.loads(succeed("inspect", folder.path, "--json"))
    assert (facts["ema"], facts["ema_test_accuracy"]) == (0.5, of_test)
    assert f"{of_test:.2%} on test images, {facts['ema_validation_accuracy']:.2%}" in succeed("inspect", folder.path)
    comparison = compare_runs([folder.path])
    (run,) = comparison_data(comparison)["runs"]
    assert run["ema_test_accuracy"] == of_test
    in_terminal = {str(column.header): list(column.cells) for column in table.run_table(comparison).columns}
    on_page = result_tables.run_table(comparison)
    cells = dict(zip((column.heading for column in on_page.columns), on_page.rows[0].cells, strict=True))
    assert str(in_terminal["average"][0]) == cells["averaged weights"].text == f"{of_test:.2%}"


def test_a_run_that_is_interrupted_goes_on_with_its_average(
    whole: Distillation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch, done = session._run_epoch, []

    def run(epoch: int, *others: Any) -> float:
        done.append(epoch)
        if len(done) == 2:
            raise KeyboardInterrupt
        return run_epoch(epoch, *others)

    monkeypatch.setattr(session, "_run_epoch", run)
    with pytest.raises(KeyboardInterrupt):
        distill(settings(tmp_path))
    again = distill(settings(tmp_path)).folder
    assert done == [0, 1, 1, 2]
    for name in ("weights", "averaged_weights", "best_weights", "predictions"):
        assert getattr(again, name).read_bytes() == getattr(whole.folder, name).read_bytes(), name
    with pytest.raises(UserError, match=r"distill\.ema"):
        distill(settings(tmp_path, distill__ema=0.9))


def test_a_teacher_is_the_average_of_its_weights(tmp_path: Path) -> None:
    config = settings(tmp_path, data__validation="null", teacher__epochs=2, teacher__batch_size=16, teacher__ema=0.5)
    trained = train_teacher(config)
    training, written = RunFolder(tmp_path / "teacher.training"), load_weights(trained.weights)
    summary = training.read_summary()
    assert trained.test_accuracy == written.facts["test_accuracy"] == summary["ema_test_accuracy"]
    assert accuracy(trained.weights, load_dataset(config.data).test, config) == pytest.approx(trained.test_accuracy)
    assert weights_hash(written.state) == weights_hash(load_file(training.averaged_weights))
    assert weights_hash(written.state) != weights_hash(load_file(training.weights))
    assert train_teacher(config).already
    assert train_teacher(config).test_accuracy == trained.test_accuracy
    before = trained.weights.read_bytes()
    assert train_teacher(config, overwrite=True).weights.read_bytes() == before
