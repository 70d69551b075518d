"""The three commands on pictures that stay on disk; the same weights whatever the number of decoding processes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_sample_images
from tests.support.plain_zarr import read_array, read_attributes

from kcd_pipeline.cli import main
from kcd_pipeline.models import weights_hash

EACH = 40


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Tiny-ImageNet: pieces of two photographs, 64 to 84 pixels a side, and a recipe for them."""
    folder = tmp_path_factory.mktemp("fly")
    for name, pixels in zip(("n1", "n2"), load_sample_images().images, strict=True):
        for number in range(EACH):
            side, top, left = 64 + number // 2, 9 * (number % 20), 13 * number
            place = folder / "data" / ("val" if number % 4 == 3 else "train") / name
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[top : top + side, left : left + side]).save(place / f"{number:03d}.png")
    (folder / "data" / "words.txt").write_text("n1\tpagoda, temple\nn2\tdahlia\n")
    training = {"epochs": 1, "batch_size": 16, "lr": 0.05}
    tree: dict[str, Any] = {
        "data": {"name": "tiny-imagenet", "root": str(folder / "data")},
        "augmentation": {"name": "resized-crop-flip"},
        "teacher": {"model": "resnet8", "weights": str(folder / "teacher.safetensors"), **training},
        "store": {"path": str(folder / "store.zarr"), "views": 2, "batch_size": 16},
        "student": {"model": "resnet8"},
        "distill": {"method": "kd", **training},
        "run": {"dir": str(folder / "run-{method}"), "device": "cpu", "threads": 1},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tree))
    return folder / "tiny.yaml"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def made(recipe: Path, workers: int) -> dict[str, str]:
    """Run the three commands with that many workers; return hashes of what they make."""
    folder = recipe.parent / f"workers-{workers}"
    settings = [
        f"data.workers={workers}",
        f"teacher.weights={folder / 'teacher.safetensors'}",
        f"store.path={folder / 'store.zarr'}",
        f"run.dir={folder / 'run'}",
    ]
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    for command in ("train-teacher", "extract-teacher", "distill"):
        result = CliRunner().invoke(main, [command, str(recipe), *arguments])
        assert result.exit_code == 0, result.output
    return {
        "teacher": weights_hash(load_file(folder / "teacher.safetensors")),
        "store": read_array(folder / "store.zarr", "logits").tobytes().hex(),
        "student": weights_hash(load_file(folder / "run" / "weights.safetensors")),
    }


@pytest.fixture(scope="module")
def alone(recipe: Path) -> dict[str, str]:
    """Hashes of what the process makes without workers."""
    return made(recipe, 0)


def test_an_epoch_ends_with_the_same_weights_with_0_1_and_3_workers(recipe: Path, alone: dict[str, str]) -> None:
    for workers in (1, 3):
        assert made(recipe, workers) == alone


@pytest.mark.usefixtures("alone")
def test_store_and_report_call_the_classes_by_their_labels(recipe: Path) -> None:
    folder = recipe.parent / "workers-0"
    made_from = read_attributes(folder / "store.zarr")["made_from"]["dataset"]
    assert made_from["classes"] == ["n1", "n2"]
    assert made_from["label_names"] == ["pagoda", "dahlia"]
    page = folder / "report.html"
    result = CliRunner().invoke(main, ["report", str(folder / "run"), "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert "2: pagoda, dahlia" in page.read_text()
    assert json.loads((folder / "run" / "summary.json").read_text())["dataset"]["name"] == "tiny-imagenet"


@pytest.mark.pages
def test_imagenets_recipe_takes_torchvisions_weights_as_its_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a picture of each of a thousand classes, and random weights in torchvision's download folder
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    torch.manual_seed(0)
    state = torchvision.models.resnet34().state_dict()
    file = torchvision.models.ResNet34_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "torch" / "hub" / "checkpoints" / file)
    picture = Image.fromarray(load_sample_images().images[0][:40, :50])
    for split in ("train", "val"):
        for number in range(1000):
            place = tmp_path / "imagenet" / split / f"n{number:08d}"
            place.mkdir(parents=True)
            picture.save(place / "a.png")
    settings = [
        f"data.root={tmp_path / 'imagenet'}",
        "data.image_size=32",
        "data.workers=0",
        f"store.path={tmp_path / 'store.zarr'}",
        "store.views=1",
        "student.model=resnet8",
        "distill.epochs=1",
        f"run.dir={tmp_path / 'run'}",
        "run.device=cpu",
    ]
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    for command in ("extract-teacher", "distill"):
        result = CliRunner().invoke(main, [command, "imagenet/resnet34-resnet18", *arguments])
        assert result.exit_code == 0, result.output
    teacher = read_attributes(tmp_path / "store.zarr")["made_from"]["teacher"]
    assert teacher["model"] == "torchvision/resnet34"
    assert teacher["weights_sha256"] == weights_hash(state)
    said = CliRunner().invoke(main, ["train-teacher", "imagenet/resnet34-resnet18", *arguments])
    assert said.exit_code == 2
    assert "teacher.weights is torchvision/IMAGENET1K_V1: there is nothing to train" in said.output
