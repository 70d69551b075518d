"""A student that is handed over: its predictions by file are those of its run, and evaluation says what others say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from tests.support.commands import run_command, succeed
from tests.support.handed_over import handed_over, small_set

from kcd_pipeline.augmentation import Identity
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.distillation import distill
from kcd_pipeline.handover import load_student
from kcd_pipeline.models import load_weights, save_weights
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.runs.predictions import read_predictions

TEST_IMAGES = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on digits, a teacher without training, and the test images as files of class folders."""
    folder = tmp_path_factory.mktemp("handed-over")
    config = recipe(folder)
    dataset = load_dataset(config.data)
    handed_over(folder / "teacher", dataset, seed=3)
    distill(config)
    for sample, label in enumerate(dataset.test.labels.tolist()):
        place = folder / "images" / dataset.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.test.image(sample)[0].numpy()).save(place / f"{sample:03}.png")
    return folder


def recipe(folder: Path) -> Config:
    return load_config(
        "digits",
        [
            "data.limit_per_class=20", f"data.test_limit_per_class={TEST_IMAGES // 10}", "student.model=resnet8",
            "distill.method=none", "distill.epochs=1", "run.device=cpu", f"run.dir={folder / 'run'}",
            f"teacher.weights={folder / 'teacher' / 'weights.safetensors'}", "teacher.model=resnet8",
            f"store.path={folder / 'none.zarr'}",
        ],
    )  # fmt: skip


def predicted(*words: object) -> list[list[dict[str, Any]]]:
    told = json.loads(succeed("predict", *words, "--device", "cpu", "--json"))
    return [image["predictions"] for image in sorted(told["images"], key=lambda image: Path(image["image"]).name)]


def test_predictions_by_file_are_those_of_the_run(home: Path) -> None:
    recorded = read_predictions(RunFolder(home / "run").predictions)
    assert recorded is not None
    found = predicted(home / "run", home / "images", "--top", 5)
    assert [[row["label"] for row in rows] for rows in found] == recorded.likeliest.tolist()
    assert all(row["class"] == str(row["label"]) for rows in found for row in rows)


def test_probabilities_are_the_softmax_of_the_logits(home: Path) -> None:
    dataset = load_dataset(recipe(home).data)
    student = load_student(home / "run")
    with torch.inference_mode():
        logits = student.model(dataset.test_views(Identity(), torch.device("cpu")).batch(np.arange(TEST_IMAGES), 0))
    expected = logits.softmax(dim=1).sort(dim=1, descending=True).values.numpy()
    found = [[row["probability"] for row in rows] for rows in predicted(home / "run", home / "images", "--top", 99)]
    assert np.shape(found) == (TEST_IMAGES, 10)
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("images", ["of the run", "of a folder", "of a recipe"])
def test_an_evaluation_says_what_scikit_learn_says(home: Path, images: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    named = {
        "of the run": [], "of a folder": ["images"],
        "of a recipe": ["digits", "--set", "data.test_limit_per_class=6", "--set", "teacher.model=resnet8",
                        "--set", "teacher.weights=teacher/weights.safetensors"],
    }  # fmt: skip
    found = json.loads(succeed("evaluate", "run", *named[images], "--json"))
    dataset, labels = load_dataset(recipe(home).data), load_dataset(recipe(home).data).test.labels.numpy()
    pixels = dataset.test_views(Identity(), torch.device("cpu")).batch(np.arange(TEST_IMAGES), 0)
    with torch.inference_mode():
        logits, of_teacher = (
            load_student(home / name).model(pixels).numpy() for name in ("run", "teacher/weights.safetensors")
        )
    guesses = logits.argmax(axis=1)
    assert found["count"] == TEST_IMAGES
    assert found["top1"] == pytest.approx(RunFolder(home / "run").read_summary()["test_accuracy"])
    assert found["top5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=range(10)))
    assert found["confusion"] == confusion_matrix(labels, guesses, labels=range(10)).tolist()
    assert [row["accuracy"] for row in found["classes"]] == pytest.approx(
        [(guesses[labels == label] == label).mean() for label in range(10)]
    )
    (agreement,) = found["teachers"]
    assert agreement["teacher"] == "resnet8"
    assert agreement["agreement"] == pytest.approx((of_teacher.argmax(axis=1) == guesses).mean())


def test_each_of_several_teachers_is_compared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is the student itself, the second is not there."""
    monkeypatch.chdir(home)
    (home / "two.yaml").write_text(
        "data: {name: digits, test_limit_per_class: 6}\n"
        "teacher:\n"
        "  - {model: resnet8, weights: run/best.safetensors, store: one.zarr}\n"
        "  - {model: resnet14, weights: none.safetensors, store: two.zarr}\n"
        "student: {model: resnet8}\n"
    )
    first, second = json.loads(succeed("evaluate", "run", "two.yaml", "--json"))["teachers"]
    assert first == {"teacher": "resnet8", "agreement": 1.0}
    assert (second["teacher"], second["agreement"]) == ("resnet14", None)
    assert "there are no weights at none.safetensors" in second["reason"]


def test_an_evaluation_can_be_read_by_people(home: Path) -> None:
    told = succeed("evaluate", home / "run", home / "images", "--device", "cpu")
    for words in ("60 images: top-1", "calibration error", "Same class as the teacher, resnet8:", "Confusion:"):
        assert words in told
    (home / "teacher" / "weights.safetensors").rename(home / "elsewhere.safetensors")
    try:
        assert "Agreement with the teacher, resnet8, is not known: there " in succeed(
            "evaluate", home / "run", home / "images"
        )
    finally:
        (home / "elsewhere.safetensors").rename(home / "teacher" / "weights.safetensors")


def test_some_classes_may_lack_and_a_class_may_be_called_as_people_call_it(tmp_path: Path) -> None:
    names = ("ant", "bee", "cat", *(f"animal {k}" for k in range(19)))
    classes = tuple(f"n{k:02}" for k in range(22))
    dataset = small_set()
    file = handed_over(tmp_path, dataset.__class__(**vars(dataset) | {"classes": classes, "label_names": names}))
    (tmp_path / "images" / "bee").mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / "bee" / "1.jpg")
    found = json.loads(succeed("evaluate", file, tmp_path / "images", "--json"))
    assert np.argwhere(found["confusion"])[0][0] == 1
    assert [row["images"] for row in found["classes"]] == [0, 1, *[0] * 20]
    assert [row["accuracy"] for row in found["classes"]].count(None) == 21
    assert found["teachers"] == []
    assert "is in the output of --json" in succeed("evaluate", file, tmp_path / "images")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "run", "images/3", "images/none.png"], "there is no picture or folder images/none.png"),
        (["predict", "run", "empty"], "empty holds no pictures"),
        (["predict", "run", "text.png"], "text.png cannot be read as an image"),
        (["predict", "run/config.yaml", "images"], "is neither a readable safetensors file"),
        (["evaluate", "run", "parts"], "no class of resnet8 is called by: test, train. Its 10 classes are 0, 1,"),
        (["evaluate", "run", "nowhere"], "'nowhere' is neither a folder"),
        (["evaluate", "teacher/weights.safetensors"], "does not belong to a run"),
        (["evaluate", "run", "--set", "seed=1"], "--set overrides values of a recipe"),
        (["evaluate", "run", "digits", "--set", "data.name=cifar10"], "cifar10 is not (whole) in"),
        (["export", "run", "--format", "onnx", "-o", "no/student.onnx"], "there is no folder no"),
        (["export", "run", "--format", "safetensors", "-o", "text.png"], "text.png exists"),
        (["export", "teacher/weights.safetensors", "--format", "safetensors"], "by --images"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_in_a_paragraph(
    home: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    (home / "empty").mkdir(exist_ok=True)
    for part in ("train", "test"):
        (home / "parts" / part).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(home / "parts" / part / "0.png")
    (home / "text.png").write_text("no picture")
    before = sorted(home.iterdir())
    ended = run_command(*words)
    assert ended.exit_code == 2
    assert message in " ".join(ended.output.split())
    assert sorted(home.iterdir()) == before


def test_the_data_of_a_run_are_not_imported_because_it_names_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kcd_pipeline.handover import evaluation

    named = recipe(home).data.model_copy(update={"name": "trap:data"})
    config = recipe(home).model_copy(update={"data": named})
    monkeypatch.setattr(evaluation, "recorded_config", lambda path: config)
    ended = run_command("evaluate", home / "run")
    assert (ended.exit_code, "is not imported because a run names it" in ended.output) == (2, True)


def test_a_model_that_gives_no_numbers_predicts_nothing(home: Path, tmp_path: Path) -> None:
    weights = load_weights(home / "teacher" / "weights.safetensors")
    model = load_student(home / "teacher" / "weights.safetensors").model
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    save_weights(tmp_path / "nan.safetensors", model, weights.facts)
    ended = run_command("predict", tmp_path / "nan.safetensors", home / "images" / "3")
    assert (ended.exit_code, "logits that are not finite" in ended.output) == (1, True)


def test_weights_are_written_under_another_name_and_loaded_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    told = succeed("export", "run", "--format", "safetensors")
    assert "run.safetensors: resnet8 as safetensors" in told
    assert "On 16 real images its logits differ from torch's by at most 0 " in told
    assert load_student("run.safetensors").facts == load_student("run").facts
    (home / "run.safetensors").unlink()
