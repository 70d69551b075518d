"""Trainings with validation images: what is looked at when, early stopping, resuming, and what readers say of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.commands import succeed
from tests.support.recipes import as_overrides

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.distillation import distill
from kcd_pipeline.distillation.distill import Distillation
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import build_model, load_weights
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import train_teacher
from kcd_pipeline.training import session
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.evaluation import Measures
from kcd_pipeline.training.trainer import Trainer

EPOCHS = 4
SCRIPTED = [0.5, 0.7, 0.7, 0.6]  # validation accuracies, where a test says what they shall be


def settings(folder: Path, **more: Any) -> Config:
    """Return a recipe of 80 training, 20 validation and 100 test images of digits, learnt from labels alone."""
    chosen = {
        "data.limit_per_class": 10,
        "data.test_limit_per_class": 10,
        "data.validation": 0.2,
        "teacher.weights": folder.parent / "teacher.safetensors",
        "teacher.model": "resnet8",
        "store.path": folder.parent / "none.zarr",
        "distill.method": "none",
        "distill.epochs": EPOCHS,
        "distill.batch_size": 32,
        "run.dir": folder,
        "run.device": "cpu",
        "run.threads": 1,
    }
    return load_config("digits", as_overrides(chosen, **more))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of epochs done at each look at the test set; epochs have the validation accuracies of SCRIPTED."""
    seen: list[int] = []
    train, look, look_with = Trainer.train_epoch, Trainer.test_measures, Trainer.test_accuracy_with
    done = 0

    def train_epoch(self: Trainer, epoch: int, **how: Any) -> EpochResult:
        nonlocal done
        done = epoch + 1
        return train(self, epoch, **how)

    def test_measures(self: Trainer) -> Measures:
        seen.append(done)
        return look(self)

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)

    def test_accuracy_with(self: Trainer, *weights: Any) -> float:
        seen.append(done)
        return look_with(self, *weights)

    monkeypatch.setattr(Trainer, "test_measures", test_measures)
    monkeypatch.setattr(Trainer, "test_accuracy_with", test_accuracy_with)
    monkeypatch.setattr(Trainer, "epoch_measures", lambda self: Measures(SCRIPTED[done - 1], {}))
    return seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Distillation:
    """A run that trains all its epochs."""
    return distill(settings(tmp_path_factory.mktemp("validation") / "whole"))


def accuracy(weights: Path, split: InMemorySplit, mean: tuple[float, ...], std: tuple[float, ...]) -> float:
    """Return the accuracy of the weights in a file, by torch alone."""
    model = build_model("resnet8", channels=1, classes=10)
    model.load_state_dict(load_file(weights))
    images = (split.images.float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    with torch.inference_mode():
        return float((model.eval()(images).argmax(dim=1) == split.labels).double().mean())


def test_accuracies_are_those_of_the_weights_that_are_kept(whole: Distillation) -> None:
    """Both files of weights, put into a new model, reach on both splits what the summary says."""
    dataset, summary, folder = load_dataset(settings(whole.folder.path).data), whole.summary, whole.folder
    validation = [line["validation_accuracy"] for line in folder.read_metrics()]
    assert len(validation) == EPOCHS
    assert summary["best_validation_accuracy"] == max(validation)
    assert summary["best_epoch"] == validation.index(max(validation))
    assert (summary["validation_accuracy"], summary["stopped_early"]) == (validation[-1], False)
    for weights, of_test, of_validation in (
        (folder.weights, "test_accuracy", "validation_accuracy"),
        (folder.best_weights, "best_test_accuracy", "best_validation_accuracy"),
    ):
        for split, key in ((dataset.test, of_test), (dataset.validation, of_validation)):
            assert isinstance(split, InMemorySplit)
            assert accuracy(weights, split, dataset.mean, dataset.std) == pytest.approx(summary[key], abs=1e-12)


def test_the_test_set_is_looked_at_after_the_last_epoch_alone(tmp_path: Path, looks: list[int]) -> None:
    done = distill(settings(tmp_path / "run"))
    assert done.summary["best_epoch"] == 1
    assert looks == [EPOCHS, EPOCHS], "once with the last weights, once with the best"
    assert all("test_accuracy" not in line for line in done.folder.read_metrics())
    assert load_weights(done.folder.weights).facts["test_accuracy"] == done.summary["test_accuracy"]


def test_training_stops_when_patience_ends_and_not_before(tmp_path: Path, looks: list[int]) -> None:
    """The second epoch is the best. With a patience of 1 the third is the last, with 2 the fourth, which is planned."""
    stopped, whole = (distill(settings(tmp_path / str(n), distill__patience=n)).summary for n in (1, 2))
    assert (stopped["epochs"], stopped["stopped_early"]) == (3, True)
    assert (whole["epochs"], whole["stopped_early"]) == (4, False)
    assert looks == [3, 3, 4, 4]
    assert distill(settings(tmp_path / "1", distill__patience=1)).already
    assert "finished, 3 of 4 epochs: stopped early" in succeed("inspect", tmp_path / "1")


def test_a_teacher_stops_early_too(tmp_path: Path, looks: list[int]) -> None:
    trained = train_teacher(settings(tmp_path / "run", teacher__epochs=4, teacher__patience=1))
    summary = json.loads((tmp_path / "teacher.training" / "summary.json").read_text())
    assert (summary["epochs"], summary["stopped_early"]) == (3, True)
    assert summary["test_accuracy"] == trained.test_accuracy
    assert looks == [3, 3]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Epochs after which a run is interrupted, once each: `interrupted.append(2)`."""
    ends: list[int] = []
    run_epoch = session._run_epoch

    def run(epoch: int, *others: Any) -> float:
        found = run_epoch(epoch, *others)
        if epoch + 1 in ends:
            ends.remove(epoch + 1)
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(session, "_run_epoch", run)
    yield ends
    assert not ends


def test_a_resumed_run_stops_where_one_that_was_never_stopped_does(
    tmp_path: Path, looks: list[int], interrupted: list[int]
) -> None:
    """Interrupted before the last epoch, and after it: patience counts the epochs before as well."""
    straight, halting = (settings(tmp_path / name, distill__patience=1) for name in ("straight", "halting"))
    distill(straight)
    interrupted += [2, 3]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            distill(halting)
    assert distill(halting).summary["epochs"] == 3
    one, other = (RunFolder(tmp_path / name) for name in ("straight", "halting"))
    for name in ("weights", "best_weights", "predictions"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes(), name
    with pytest.raises(UserError, match=r"distill\.patience"):
        distill(settings(tmp_path / "halting", distill__patience=3))


def test_readers_say_by_what_the_best_epoch_was_chosen(whole: Distillation) -> None:
    folder, summary = whole.folder.path, whole.summary
    facts = json.loads(succeed("inspect", folder, "--json"))
    assert facts["chosen_by"] == "validation"
    for key in ("test_accuracy", "best_test_accuracy", "validation_accuracy", "best_validation_accuracy"):
        assert facts[key] == summary[key], key
    told = succeed("inspect", folder)
    assert f"{summary['best_validation_accuracy']:.2%} best" in told
    assert "of the epoch that was best by validation" in told
    (run,) = json.loads(succeed("report", folder, "--json"))["runs"]
    assert (run["chosen_by"], run["stopped_early"]) == ("validation", False)
    assert run["best_validation_accuracy"] == summary["best_validation_accuracy"]
    assert "chosen by validation images" in succeed("report", folder)
