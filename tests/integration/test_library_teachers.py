"""Weights of timm over image folders, by whole commands: to begin from, as a frozen teacher, and without a head.

The model is one that timm has for tests, for 160 pixels and ImageNet's mean and deviation.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.support.commands import run_command, succeed
from tests.support.plain_zarr import read_array, read_attributes

pytestmark = pytest.mark.loops
timm = pytest.importorskip("timm")

IMAGES = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "image_size": 160}  # timm's record of the model
FROZEN = ("teacher.init=null", "teacher.weights=thousand.safetensors", "store.path=frozen.zarr")
MAPPED = (*FROZEN, "teacher.classes={cat: tabby, dog: [207, n02099712]}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten pictures, weights for 1,000 classes and for none, and a recipe that begins from the former."""
    folder, random = tmp_path_factory.mktemp("library"), np.random.default_rng(0)
    for split in ("train", "test"):
        for name, level in (("cat", 40), ("dog", 180)):
            (folder / "data" / split / name).mkdir(parents=True)
            for number in range(5):
                pixels = random.integers(level - 30, level + 30, (40, 50, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "data" / split / name / f"{number}.png")
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), folder / "thousand.safetensors")
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), folder / "backbone.pth")
    training = {"epochs": 2, "batch_size": 5}
    recipe: dict[str, Any] = {
        "data": {"name": "imagefolder", "root": "data"},
        "augmentation": {"name": "none"},
        "teacher": {
            "model": "timm/test_efficientnet",
            "weights": "own.safetensors",
            "init": "thousand.safetensors",
            **training,
        },
        "store": {"path": "own.zarr", "views": 1, "encoding": "float32"},
        "student": {"model": "timm/test_efficientnet"},
        "distill": {**training, "method": "kd"},
        "run": {"device": "cpu", "threads": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(autouse=True)
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def command(name: str, *overrides: str) -> str:
    return " ".join(succeed(name, "recipe.yaml", *(word for one in overrides for word in ("--set", one))).split())


def test_a_teacher_begins_from_weights_of_other_classes_and_sees_their_images(home: Path) -> None:
    command("train-teacher")
    assert "was trained already" in command("train-teacher")
    command("extract-teacher")
    command("distill")
    found = read_attributes(home / "own.zarr")["made_from"]
    assert found["dataset"]["mean"] == IMAGES["mean"]
    assert found["dataset"]["image_shape"] == [3, 160, 160]
    (config,) = home.glob("runs/*/config.yaml")
    assert {key: yaml.safe_load(config.read_text())["data"][key] for key in IMAGES} == IMAGES


def test_a_frozen_teacher_is_taught_from_after_its_weights_are_gone(home: Path) -> None:
    command("extract-teacher", *MAPPED)
    teacher = read_attributes(home / "frozen.zarr")["made_from"]["teacher"]
    assert teacher["outputs_of_classes"] == [[281], [207, 208]]  # tabby; golden and Labrador retriever
    assert teacher["images"] == IMAGES
    (home / "thousand.safetensors").rename(home / "gone")
    try:
        command("distill", *MAPPED)
    finally:
        (home / "gone").rename(home / "thousand.safetensors")


def test_the_outputs_of_weights_without_a_head_are_features(home: Path) -> None:
    alone = ("teacher.init=null", "teacher.weights=backbone.pth", "store.features=true", "store.logits=false")
    command("extract-teacher", *alone, "store.path=backbone.zarr")
    whole = ("teacher.weights=thousand.safetensors", "store.path=whole.zarr")
    command("extract-teacher", alone[0], *alone[2:], *whole)
    names = load_file(home / "thousand.safetensors")
    width = names["classifier.weight"].shape[1]
    assert read_array(home / "backbone.zarr", "features").shape == (1, 10, width)
    refused = run_command("extract-teacher", "recipe.yaml", "--set", alone[0], "--set", alone[1])
    assert refused.exit_code == 2
    assert "set store.logits to false" in " ".join(refused.output.split())
