"""Image size and normalisation of a recipe, from the record of its teacher's weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.recipes import small_recipe

from kcd_pipeline.config import Config
from kcd_pipeline.models import build_model, save_weights
from kcd_pipeline.teacher import recorded_images, with_teacher_images

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LITE = "timm/tf_efficientnet_lite0"  # trained with mean and deviation one half


def recipe(model: str, weights: object, data: dict[str, Any] | None = None, **more: Any) -> Config:
    teacher = {"model": model, "weights": str(weights), **more}
    return small_recipe(data={"name": "imagefolder", **(data or {})}, teacher=teacher)


def images(config: Config) -> tuple[Any, ...]:
    found = with_teacher_images(config).data
    return found.mean, found.std, found.image_size


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_published_weights_of_torchvision_say_their_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert images(recipe("torchvision/resnet18", "torchvision/DEFAULT")) == (*IMAGENET, 224)
    assert images(recipe("torchvision/inception_v3", "torchvision/DEFAULT")) == (*IMAGENET, 299)
    assert "data.image_size 299" in said(capsys)


def test_published_weights_of_timm_say_their_images() -> None:
    pytest.importorskip("timm")
    assert images(recipe(LITE, "timm/pretrained")) == ((0.5,) * 3, (0.5,) * 3, 224)


def test_a_file_of_a_librarys_model_is_taken_for_what_the_library_publishes(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    torch.save({"a": torch.zeros(1)}, tmp_path / "lite0.pth")
    assert images(recipe(LITE, tmp_path / "lite0.pth"))[2] == 224
    assert images(recipe("resnet8", tmp_path / "lite0.pth")) == (None, None, None)


def test_the_recipe_is_followed_and_a_difference_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"mean": [0.5] * 3, "std": [0.25] * 3, "image_size": 160}
    found = images(recipe("torchvision/resnet18", "torchvision/DEFAULT", given))
    assert found == ((0.5,) * 3, (0.25,) * 3, 160)
    line = said(capsys)
    assert "data.mean is [0.5, 0.5, 0.5], and there it was [0.485, 0.456, 0.406]" in line
    assert "data.image_size is 160, and there it was 224" in line


def test_nothing_changes_where_the_data_set_has_the_same_images_anyway(capsys: pytest.CaptureFixture[str]) -> None:
    config = recipe("torchvision/resnet34", "torchvision/IMAGENET1K_V1", {"name": "imagenet"})
    assert with_teacher_images(config) is config
    assert recorded_images(config) is None
    assert said(capsys) == ""


def test_images_in_memory_keep_their_size_and_grey_ones_their_normalisation() -> None:
    assert images(recipe("torchvision/resnet18", "torchvision/DEFAULT", {"name": "cifar10"})) == (*IMAGENET, None)
    assert images(recipe("torchvision/resnet18", "torchvision/DEFAULT", {"name": "digits"})) == (None, None, None)


def test_a_teacher_trained_here_says_its_images_where_its_classes_are_others(tmp_path: Path) -> None:
    weights, facts = tmp_path / "own.safetensors", {"mean": [0.4] * 3, "std": [0.2] * 3, "classes": ["a", "b"]}
    save_weights(weights, build_model("resnet8", channels=3, classes=2), facts)
    assert images(recipe("resnet8", weights, {"name": "cifar10"}, classes=[0])) == ((0.4,) * 3, (0.2,) * 3, None)
    assert images(recipe("resnet8", weights, {"name": "cifar10"})) == (None, None, None)


def test_weights_to_begin_from_say_the_images_of_the_training() -> None:
    found = images(recipe("torchvision/resnet18", "not-yet.safetensors", init="torchvision/DEFAULT"))
    assert found == (*IMAGENET, 224)
    assert images(recipe("torchvision/resnet18", "not-yet.safetensors")) == (None, None, None)


def test_what_a_store_shall_record_of_them() -> None:
    config = with_teacher_images(recipe("torchvision/resnet18", "torchvision/DEFAULT"))
    mean, std = map(list, IMAGENET)
    assert recorded_images(config) == {"mean": mean, "std": std, "image_size": 224}
