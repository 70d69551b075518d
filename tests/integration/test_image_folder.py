"""From a folder of real photographs to a student: tiles of scikit-learn's china.jpg and flower.jpg, two classes.

Which of two photographs a 32x32 tile is cut from is easy to tell (one is mostly sky and stone, the other petals),
so a few epochs must do far better than chance, which is one half.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_sample_images
from tests.support.plain_zarr import read_array, read_attributes

from kcd_pipeline.cli import main

SIDE = 32
ROWS, COLUMNS = 13, 20  # whole tiles in 427 x 640 pixels
VIEWS, EPOCHS, INTERVAL = 2, 4, 2
TILES = ROWS * COLUMNS  # 260 of each photograph, every fourth for the test: 65
TRAINED = 2 * (TILES - TILES // 4)  # 390 of both


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles as PNG files, a recipe, and everything that the three commands make from them."""
    folder = tmp_path_factory.mktemp("photographs")
    pictures = load_sample_images()
    for filename, pixels in zip(pictures.filenames, pictures.images, strict=True):
        for tile in range(TILES):
            top, left = SIDE * (tile // COLUMNS), SIDE * (tile % COLUMNS)
            place = folder / "tiles" / ("val" if tile % 4 == 3 else "train") / Path(filename).stem
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[top : top + SIDE, left : left + SIDE]).save(place / f"{tile:03d}.png")
    training = {"batch_size": 32, "lr": 0.05, "schedule": "cosine"}
    recipe = {
        "data": {"name": "imagefolder", "root": str(folder / "tiles")},
        "augmentation": {"name": "resized-crop-flip", "scale": [0.5, 1]},
        "teacher": {"model": "resnet8", "weights": str(folder / "teacher.safetensors"), "epochs": 5, **training},
        "store": {"path": str(folder / "store.zarr"), "views": VIEWS, "block_rows": 128},
        "student": {"model": "resnet8"},
        "distill": {"method": "kcd", "epochs": EPOCHS, **training},
        "condense": {"interval": INTERVAL, "keep_ratio": 0.6},
        "run": {"dir": str(folder / "{student}-{method}"), "device": "cpu", "threads": 1},
    }
    (folder / "tiles.yaml").write_text(yaml.safe_dump(recipe))
    for command in ("train-teacher", "extract-teacher", "distill"):
        result = CliRunner().invoke(main, [command, str(folder / "tiles.yaml")])
        assert result.exit_code == 0, result.output
    return folder


def test_every_file_that_is_promised_is_there(folder: Path) -> None:
    # except hidden files: the locks that keep two processes apart
    assert {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} == {
        "tiles",
        "tiles.yaml",
        "teacher.safetensors",
        "teacher.training",
        "store.zarr",
        "resnet8-kcd",
    }
    assert {entry.name for entry in (folder / "resnet8-kcd").iterdir()} == {
        "config.yaml",
        "origin.json",
        "metrics.jsonl",
        "tensorboard",
        "values.zarr",
        "plans.zarr",
        "weights.safetensors",
        "best.safetensors",
        "predictions.safetensors",
        "summary.json",
    }


def test_the_store_says_what_it_was_made_from_and_holds_every_row(folder: Path) -> None:
    store = folder / "store.zarr"
    dataset = read_attributes(store)["made_from"]["dataset"]
    assert (dataset["name"], dataset["size"]) == ("imagefolder", TRAINED)
    assert dataset["classes"] == ["china", "flower"]
    assert dataset["image_shape"] == [3, SIDE, SIDE]
    logits = read_array(store, "logits")
    assert logits.shape == (VIEWS, TRAINED, 2)
    assert np.isfinite(logits).all()
    assert read_array(store, "complete").tolist() == [[1] * 4] * VIEWS  # 390 rows in blocks of 128


def test_teacher_and_student_tell_the_photographs_apart(folder: Path) -> None:
    summary = json.loads((folder / "resnet8-kcd" / "summary.json").read_text())
    teacher = read_attributes(folder / "store.zarr")["made_from"]["teacher"]
    # chance gets 65 of 130 test tiles right, and more than 85 with a probability below 0.001
    assert teacher["test_accuracy"] > 85 / 130
    assert summary["test_accuracy"] > 85 / 130


def test_the_stored_logits_are_those_of_a_teacher_that_knows_its_training_set(folder: Path) -> None:
    logits = read_array(folder / "store.zarr", "logits")
    labels = np.repeat([0, 1], TRAINED // 2)  # classes in order of name, as torchvision lists them
    assert (logits.argmax(axis=2) == labels).mean() > 85 / 130


def test_the_summary_counts_what_was_taught(folder: Path) -> None:
    run = folder / "resnet8-kcd"
    summary = json.loads((run / "summary.json").read_text())
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    # two stages: all 390 for two epochs, then 0.6 of them = 234 for two
    assert [line["samples"] for line in metrics] == [390, 390, 234, 234]
    assert summary["samples_trained"] == summary["rows_trained"] == 2 * 390 + 2 * 234
    assert summary["kept_fraction"] == [1, 0.6]
    assert summary["test_accuracy"] == metrics[-1]["test_accuracy"]
    assert summary["best_test_accuracy"] == max(line["test_accuracy"] for line in metrics)
    assert summary["seconds"] == pytest.approx(sum(line["seconds"] for line in metrics))
    assert (summary["student"], summary["method"], summary["epochs"]) == ("resnet8", "kcd", EPOCHS)
    assert summary["parameters"] == sum(
        tensor.size
        for key, tensor in ((k, t.numpy()) for k, t in load_file(run / "weights.safetensors").items())
        if key.endswith(("weight", "bias"))
    )
    assert summary["store"]["rows"] == VIEWS * TRAINED
    assert summary["store"]["made_from"]["dataset"]["size"] == TRAINED


def test_each_visited_sample_has_a_value_between_zero_and_log_two(folder: Path) -> None:
    values = folder / "resnet8-kcd" / "values.zarr"
    frequency = read_array(values, "frequency")[-1]
    assert (frequency[frequency == 4].size, frequency[frequency == 2].size) == (234, TRAINED - 234)
    value = read_array(values, "value")[-1]
    assert value.min() >= 0
    assert value.max() <= np.log(2) + 1e-6


def test_called_again_the_commands_say_that_all_is_there(folder: Path) -> None:
    said = [
        CliRunner().invoke(main, [command, str(folder / "tiles.yaml"), *options]).output
        for command, options in (("train-teacher", []), ("extract-teacher", []), ("distill", ["--resume"]))
    ]
    assert "was trained already" in said[0]
    assert "is complete: 780 rows in 8 blocks; nothing to do" in said[1]
    assert "The run was finished already" in said[2]
