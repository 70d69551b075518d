"""Objects in the place of what a recipe names, on a few digits: a data set, a teacher, a student."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.datasets import load_digits
from tests.support.python_interface import few_digits
from torch import nn
from torch.utils.data import TensorDataset

import kcd_pipeline
from kcd_pipeline.cli import main
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import load_weights, weights_hash
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import StoreMismatchError


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(384, 10)
    )


def digit_sets(first: int = 0) -> tuple[TensorDataset, TensorDataset]:
    """Return 120 digits to train on and 50 to test on, from the `first` of scikit-learn's on."""
    digits = load_digits()
    images = torch.from_numpy((digits.images * 15).astype(np.uint8))[first:, None]
    labels = torch.from_numpy(digits.target)[first:]
    return TensorDataset(images[:120], labels[:120]), TensorDataset(images[120:170], labels[120:170])


# --- data sets -------------------------------------------------------------------------------------------


def test_torch_data_sets_are_trained_on_and_known_by_their_content(tmp_path: Path) -> None:
    keys, sets = few_digits(tmp_path), digit_sets()
    kcd_pipeline.train_teacher(keys, dataset=sets)
    store = kcd_pipeline.extract_teacher(keys, dataset=sets)
    run = kcd_pipeline.distill(keys, dataset=sets)
    recorded = store.open().made_from["dataset"]
    assert recorded["name"] == "object:torch.utils.data.dataset.TensorDataset"
    assert recorded["size"] == np.minimum(np.bincount(load_digits().target[:120]), 12).sum(), "limit_per_class is 12"
    assert run.config["data"]["name"] == recorded["name"]
    assert kcd_pipeline.distill(keys, dataset=digit_sets()) == run, "equal content, another object"
    with pytest.raises(StoreMismatchError, match="fingerprint"):
        kcd_pipeline.distill(keys, dataset=digit_sets(first=5))
    refused = CliRunner().invoke(main, ["distill", str(run.path / "config.yaml")])
    assert refused.exit_code == 2
    assert "data.name is 'object:torch.utils.data.dataset.TensorDataset'" in refused.output


def test_validation_images_can_be_passed_too(tmp_path: Path) -> None:
    train, test = digit_sets()
    overrides = {"distill.method": "none", "distill.patience": 3}
    run = kcd_pipeline.distill(few_digits(tmp_path), dataset=(train, test, test), overrides=overrides)
    assert "validation_accuracy" in run.metrics[-1]


def test_a_data_set_that_is_loaded_already_is_that_of_its_name(tmp_path: Path) -> None:
    keys: dict[str, Any] = few_digits(tmp_path) | {"distill": {"epochs": 1, "method": "none"}}
    dataset = kcd_pipeline.load_dataset(keys)
    assert (type(dataset), len(dataset.train)) == (Dataset, 120)
    run = kcd_pipeline.distill(keys, dataset=dataset)
    assert kcd_pipeline.distill(keys) == run


@pytest.mark.parametrize("wrong", [3, "digits", (1, 2, 3, 4)])
def test_what_is_no_data_set_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(UserError, match=r"dataset: found an object of type \w+, expected"):
        kcd_pipeline.train_teacher(few_digits(tmp_path), dataset=wrong)


# --- models ----------------------------------------------------------------------------------------------


def test_a_student_that_is_passed_trains_resumes_and_is_told_apart(tmp_path: Path) -> None:
    keys = few_digits(tmp_path)
    kcd_pipeline.train_teacher(keys)
    kcd_pipeline.extract_teacher(keys)
    other = kcd_pipeline.distill(keys)
    student = network()
    before = copy.deepcopy(student.state_dict())
    run = kcd_pipeline.distill(keys, student=student)
    assert all(torch.equal(student.state_dict()[key], before[key]) for key in before), "a copy is trained"
    assert run.config["student"]["model"] == "object:torch.nn.modules.container.Sequential"
    assert kcd_pipeline.distill(keys, student=network()) == run
    with pytest.raises(UserError, match="student: found"):
        kcd_pipeline.distill(keys, student=network(seed=1))
    assert weights_hash(run.load(model=network(1)).model.state_dict()) == weights_hash(
        load_weights(run.path / "weights.safetensors").state
    )
    names = [arm["name"] for arm in kcd_pipeline.report([other, run]).arms]
    assert names == ["kcd resnet8", "kcd object:torch.nn.modules.container.Sequential"]
    refused = CliRunner().invoke(main, ["distill", str(run.path / "config.yaml"), "--overwrite"])
    assert refused.exit_code == 2
    assert "passed as an object from Python" in refused.output
    assert run.test_accuracy == kcd_pipeline.open_run(run.path).test_accuracy


def test_a_run_of_an_object_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = few_digits(tmp_path)
    whole, stopped = ({"distill.method": "none", "run.dir": tmp_path / name} for name in ("whole", "stopped"))
    expected = kcd_pipeline.distill(keys, overrides=whole, student=network())
    train = Trainer.train_epoch

    def end_in_the_last(trainer: Trainer, epoch: int, **lesson: Any) -> Any:
        if epoch == 2:
            raise KeyboardInterrupt
        return train(trainer, epoch, **lesson)

    monkeypatch.setattr(Trainer, "train_epoch", end_in_the_last)
    with pytest.raises(KeyboardInterrupt):
        kcd_pipeline.distill(keys, overrides=stopped, student=network())
    monkeypatch.undo()
    unfinished = kcd_pipeline.open_run(tmp_path / "stopped")
    assert (unfinished.finished, len(unfinished.metrics)) == (False, 2)
    assert "2 of 3 epochs done" in repr(unfinished)
    assert "kcd_pipeline.distill(" in repr(kcd_pipeline.inspect(unfinished.path))
    with pytest.raises(UserError, match="is not finished: 2 of its epochs are done"):
        unfinished.summary  # noqa: B018  # the access is what is tested
    run = kcd_pipeline.distill(keys, overrides=stopped, student=network(), resume=True)
    found, wanted = (load_weights(each.path / "weights.safetensors").state for each in (run, expected))
    assert weights_hash(found) == weights_hash(wanted)


def test_a_teacher_that_is_passed_needs_no_file_and_is_known_by_its_state(tmp_path: Path) -> None:
    keys = few_digits(tmp_path)
    trained = kcd_pipeline.train_teacher(keys, teacher=network())
    teacher = trained.load()
    trained.weights.unlink()
    store = kcd_pipeline.extract_teacher(keys, teacher=teacher)
    made_from = store.open().made_from["teacher"]
    assert made_from["model"] == "object:torch.nn.modules.container.Sequential"
    assert made_from["weights_sha256"] == weights_hash(teacher.state_dict())
    run = kcd_pipeline.distill(keys, teacher=teacher, overrides={"distill.epochs": 1})
    assert run.finished
    with pytest.raises(StoreMismatchError, match="weights_sha256"):
        kcd_pipeline.distill(keys, teacher=network(seed=2))
    with pytest.raises(StoreMismatchError, match="resnet8"):
        kcd_pipeline.distill(keys)


@pytest.mark.parametrize("part", ["teacher", "student"])
def test_an_object_of_another_kind_is_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(UserError, match=f"{part}: found an object of type str, expected a torch.nn.Module"):
        kcd_pipeline.distill(few_digits(tmp_path), **{part: "resnet8"})  # type: ignore[arg-type]


def test_a_model_that_does_not_fit_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Sequential that was passed as student cannot take images"):
        kcd_pipeline.distill(
            few_digits(tmp_path), overrides={"distill.method": "none"}, student=nn.Sequential(nn.Conv2d(3, 1, 1))
        )
    assert not list(tmp_path.iterdir())
