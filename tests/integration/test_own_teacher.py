"""A teacher from elsewhere: a checkpoint in RepDistiller's format, and a model from the user's own module."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
import zarr
from click.testing import CliRunner
from safetensors.torch import load_file
from tests.support.plain_zarr import read_attributes

from kcd_pipeline.cli import main

TRAINING = {"epochs": 4, "batch_size": 64, "lr": 0.05, "schedule": "cosine"}


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher trained here on digits, and the same weights as `ckpt_epoch_240.pth`, as RepDistiller saves them."""
    folder = tmp_path_factory.mktemp("own")
    recipe = {
        "extends": "digits",
        "teacher": {"model": "wrn_16_1", "weights": str(folder / "wrn_16_1.safetensors"), **TRAINING},
        "store": {"path": str(folder / "store.zarr"), "views": 1},
        "distill": {**TRAINING, "epochs": 2},
        "condense": {"interval": 1},
        "run": {"dir": str(folder / "{student}-{method}"), "device": "cpu"},
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(recipe))
    run("train-teacher", str(folder / "own.yaml"))
    run("extract-teacher", str(folder / "own.yaml"))
    optimizer: dict[str, Any] = {"state": {}, "param_groups": [{"lr": 0.05, "params": [0]}]}
    torch.save(
        {
            "epoch": 240,
            "model": load_file(folder / "wrn_16_1.safetensors"),
            "best_acc": np.float64(75.61),
            "optimizer": optimizer,
        },
        folder / "ckpt_epoch_240.pth",
    )
    return folder


def teacher_of(store: Path) -> dict[str, Any]:
    facts: dict[str, Any] = read_attributes(store)["made_from"]["teacher"]
    return facts


def test_a_published_checkpoint_is_the_same_teacher_as_its_weights_in_any_other_file(folder: Path) -> None:
    checkpoint = f"teacher.weights={folder / 'ckpt_epoch_240.pth'}"
    other = folder / "from-checkpoint.zarr"
    said = run("extract-teacher", str(folder / "own.yaml"), "--set", checkpoint, "--set", f"store.path={other}")
    assert "1,437 rows (1 views of 1,437 samples)" in said
    for name in ("weights_sha256", "model", "parameters", "test_accuracy"):
        assert teacher_of(other)[name] == teacher_of(folder / "store.zarr")[name]
    ours, theirs = (zarr.open_array(path / "logits", mode="r")[:] for path in (folder / "store.zarr", other))
    assert np.array_equal(ours, theirs)
    # so a store made from either serves a recipe that names the other
    run("distill", str(folder / "own.yaml"), "--set", checkpoint)
    summary = json.loads((folder / "resnet8-kcd" / "summary.json").read_text())
    assert summary["store"]["made_from"]["teacher"]["model"] == "wrn_16_1"


def test_a_checkpoint_of_another_model_is_named_by_what_it_is(folder: Path) -> None:
    said = run(
        "extract-teacher",
        str(folder / "own.yaml"),
        *("--set", f"teacher.weights={folder / 'ckpt_epoch_240.pth'}", "--set", "teacher.model=wrn_40_1"),
        *("--set", f"store.path={folder / 'never.zarr'}"),
        code=2,
    )
    assert "They are those of a wrn_16_1 for 10 classes and 1 channel" in said
    assert not (folder / "never.zarr").exists()


def test_teacher_and_student_can_be_of_ones_own_making(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "shallow.py").write_text(
        "from torch.nn import Flatten, Linear, ReLU, Sequential\n"
        "def shallow(channels, classes, hidden):\n"
        "    return Sequential(Flatten(), Linear(64 * channels, hidden), ReLU(), Linear(hidden, classes))\n"
    )
    own = [
        *("--set", "teacher.model=shallow:shallow", "--set", "teacher.arguments.hidden=32"),
        *("--set", "student.model=shallow:shallow", "--set", "student.arguments={hidden: 8}"),
        *("--set", "teacher.weights=shallow.safetensors", "--set", "store.path=shallow.zarr"),
    ]
    for command in ("train-teacher", "extract-teacher", "distill"):
        run(command, str(folder / "own.yaml"), *own)
    assert teacher_of(folder / "shallow.zarr")["arguments"] == {"hidden": 32}
    assert (folder / "shallow-shallow-kcd" / "summary.json").is_file()  # no colon in the name of a folder
    other = [argument.replace("hidden=32", "hidden=16") for argument in own]
    said = run("extract-teacher", str(folder / "own.yaml"), *other, code=2)
    assert "the weights in shallow.safetensors are those of a shallow:shallow with the arguments {'hidden': 32}" in said
    assert "but teacher.arguments is {'hidden': 16}" in said
