"""Whole commands on pictures that a pipeline changes and a mix blends: stores with features, students, resuming."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from tests.support.commands import run_command, succeed
from tests.support.forks import forks
from tests.support.killed import start, train_and_die
from tests.support.mixed import mixed_by_hand
from tests.support.recipes import as_overrides
from tests.support.runs import run_facts

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.distillation import distill
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import load_teacher
from kcd_pipeline.training import session
from kcd_stores import KnowledgeStore

OPERATIONS = (
    "[{name: crop, padding: 1}, {name: flip}, {name: randaugment, number: 1, magnitude: 5}, "
    "{name: erasing, probability: 0.3, value: noise}]"
)


def overrides(folder: Path, **more: Any) -> list[str]:
    """Return settings for 100 digits, of a store with features and of students by all that optimisation has."""
    chosen = {
        "data.limit_per_class": 10,
        "data.test_limit_per_class": 5,
        "augmentation.name": "pipeline",
        "augmentation.operations": OPERATIONS,
        "augmentation.mix": "mixup-cutmix",
        "teacher.weights": folder / "teacher.safetensors",
        "teacher.model": "resnet8",
        "teacher.epochs": 1,
        "store.path": folder / "store.zarr",
        "store.views": 3,
        "store.encoding": "float32",
        "store.features": "true",
        "store.block_rows": 32,
        "student.model": "resnet8",
        "distill.epochs": 3,
        "distill.batch_size": 16,
        "distill.loss.name": "pkt",
        "distill.ema": 0.5,
        "distill.clip_norm": 1,
        "distill.accumulate": 2,
        "condense.interval": 1,
        "run.dir": folder / "{method}",
        "run.device": "cpu",
        "run.threads": 1,
    }
    return as_overrides(chosen, **more)


def words(folder: Path, **more: Any) -> list[str]:
    return ["digits", *(word for override in overrides(folder, **more) for word in ("--set", override))]


def settings(folder: Path, **more: Any) -> Config:
    return load_config("digits", overrides(folder, **more))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, its store, and a run by kd and one by kcd, all made by the commands."""
    folder = tmp_path_factory.mktemp("pipeline")
    assert "was trained already" not in succeed("train-teacher", *words(folder))
    assert "12 blocks made" in succeed("extract-teacher", *words(folder))
    for method in ("kd", "kcd"):
        succeed("distill", *words(folder), "--method", method)
    return folder


def results(folder: Path) -> dict[str, Any]:
    """Return the results of a finished run, with the average of its weights."""
    return {**run_facts(folder), "averaged": RunFolder(folder).averaged_weights.read_bytes()}


def test_rows_and_features_are_what_the_teacher_says_of_the_mixed_picture(home: Path) -> None:
    config = settings(home)
    teacher, _ = load_teacher(config, load_dataset(config.data))
    features: list[torch.Tensor] = []
    last = [module for module in teacher.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        logits = teacher.eval()(mixed_by_hand(config, 2))
    found = KnowledgeStore.open(config.store.path, features=True).read_rows(2, 0, len(logits))
    np.testing.assert_allclose(found[:, :10], logits.numpy(), atol=2e-4)
    np.testing.assert_allclose(found[:, 10:], features[-1].numpy(), rtol=2**-11, atol=2e-4)  # stored as float16


def test_the_store_is_verified_with_its_teacher_and_runs_are_reported(home: Path) -> None:
    """Epochs of 100, 85 and 70 digits by kcd are 7, 6 and 5 batches of 16, two a step: 4, 3 and 3 steps."""
    assert "made again by the teacher" in succeed("verify", home / "store.zarr", "--teacher", *words(home))
    report = json.loads(succeed("report", home / "kd", home / "kcd", "--json"))
    assert [(run["method"], run["epochs"], run["steps"]) for run in report["runs"]] == [("kd", 3, 12), ("kcd", 3, 10)]
    losses = [line["loss"] for method in ("kd", "kcd") for line in RunFolder(home / method).read_metrics()]
    assert np.isfinite(losses).all()
    assert "complete" in succeed("extract-teacher", *words(home))


def interrupt_in_second_epoch(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until Ctrl-C in the second of three epochs, and then go on to the end."""
    run_epoch, done = session._run_epoch, []

    def run(epoch: int, *others: Any) -> float:
        done.append(epoch)
        if len(done) == 2:
            raise KeyboardInterrupt
        return run_epoch(epoch, *others)

    monkeypatch.setattr(session, "_run_epoch", run)
    with pytest.raises(KeyboardInterrupt):
        distill(config)
    distill(config)
    assert done == [0, 1, 1, 2]


@pytest.mark.parametrize("method", ["kd", "kcd"])
def test_a_run_that_is_interrupted_ends_with_the_weights_of_one_never_stopped(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    interrupt_in_second_epoch(settings(home, distill__method=method, run__dir=tmp_path / "run"), monkeypatch)
    assert results(tmp_path / "run") == results(home / method)


@pytest.mark.loops
def test_a_run_that_is_killed_ends_with_the_weights_of_one_never_stopped(home: Path, tmp_path: Path) -> None:
    config = settings(home, run__dir=tmp_path / "run")
    process = start(forks(), train_and_die, config, "a checkpoint is begun", 2)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    distill(config)
    assert results(tmp_path / "run") == results(home / "kcd")


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "distill"])
def test_a_list_of_operations_that_is_wrong_is_refused_by_each_command(tmp_path: Path, command: str) -> None:
    wrong = "[{name: flip}, {name: crop, paddin: 3}]"
    ended = run_command(command, *words(tmp_path, augmentation__operations=wrong))
    said = " ".join(ended.output.split())
    assert ended.exit_code == 2, said
    assert "no key 'augmentation.operations.1.paddin'; did you mean 'padding'?" in said
    assert not list(tmp_path.iterdir())


def photographs(folder: Path) -> None:
    """Write pieces of two photographs, 24 to 35 pixels a side, in folders of their classes."""
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        for number in range(32):
            place, side = folder / ("val" if number % 4 == 3 else "train") / name, 24 + number % 12
            place.mkdir(parents=True, exist_ok=True)
            top, left = 11 * number, 17 * number
            Image.fromarray(pixels[top : top + side, left : left + side]).save(place / f"{number:02d}.png")


@pytest.mark.loops
def test_a_run_that_decodes_by_workers_and_is_interrupted_ends_as_one_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    photographs(tmp_path / "photographs")
    more = {
        "data.name": "imagefolder",
        "data.root": tmp_path / "photographs",
        "data.limit_per_class": "null",
        "data.test_limit_per_class": "null",
        "data.on_the_fly": "true",
        "data.image_size": 24,
        "data.workers": 0,
        "augmentation.operations": "tinyvit",
    }
    for command in ("train-teacher", "extract-teacher", "distill"):
        succeed(command, *words(tmp_path, **more))
    stopped = settings(tmp_path, **{**more, "data.workers": 1}, run__dir=tmp_path / "stopped")
    interrupt_in_second_epoch(stopped, monkeypatch)
    assert results(tmp_path / "stopped") == results(tmp_path / "kcd")
