"""Frozen teachers of other classes, by whole commands on digits: their logits mapped, or their features alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
import zarr
from scipy.special import logsumexp
from tests.support.commands import run_command, succeed
from tests.support.plain_zarr import read_array, read_attributes
from torch import nn

from kcd_pipeline.augmentation import Identity
from kcd_pipeline.config import load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.models import build_model

OUTPUTS = 12  # of the teacher: not those of the ten digits
FEW = {"data": {"limit_per_class": 12, "test_limit_per_class": 5}, "augmentation": {"name": "none"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of 12 classes in a file by torch.save, and a recipe of it."""
    folder = tmp_path_factory.mktemp("other")
    torch.manual_seed(0)
    torch.save(build_model("resnet8", channels=1, classes=OUTPUTS).state_dict(), folder / "twelve.pth")
    recipe: dict[str, Any] = {
        "extends": "digits",
        **FEW,
        "teacher": {"model": "resnet8", "weights": str(folder / "twelve.pth")},
        "store": {"path": str(folder / "mapped.zarr"), "views": 1, "encoding": "float32"},
        "distill": {"epochs": 2, "batch_size": 30},
        "condense": {"interval": 1},
        "run": {"dir": str(folder / "{student}-{variant}"), "device": "cpu", "threads": 1},
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(recipe))
    return folder


MAPPED = {str(digit): digit for digit in range(9)} | {"9": [9, 11]}


def own(home: Path, **keys: Any) -> list[str]:
    """Return the recipe and the options that set these keys, with `__` for a dot."""
    sets = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in keys.items()]
    return [str(home / "own.yaml"), *(word for one in sets for word in ("--set", one))]


def outputs(home: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return logits `[N, 12]` and features `[N, D]` of the teacher over the training images, from a plain loop."""
    model = build_model("resnet8", channels=1, classes=OUTPUTS).eval()
    model.load_state_dict(torch.load(home / "twelve.pth", weights_only=True))
    dataset = load_dataset(load_config(str(home / "own.yaml")).data)
    views = dataset.train_views(Identity(), torch.device("cpu"))
    (_, images) = next(iter(views.batches([np.arange(len(dataset.train))], 0)))
    with torch.no_grad():
        last = model.get_submodule("fc")
        inputs: list[torch.Tensor] = []
        last.register_forward_pre_hook(lambda layer, given: inputs.append(given[0]))
        return model(images).numpy(), inputs[0].numpy()


def test_a_mapped_teacher_is_extracted_verified_and_taught(home: Path) -> None:
    succeed("extract-teacher", *own(home, teacher__classes=MAPPED))
    logits, _ = outputs(home)
    expected = np.concatenate([logits[:, :9], logsumexp(logits[:, [9, 11]], axis=1)[:, None]], axis=1)
    np.testing.assert_allclose(read_array(home / "mapped.zarr", "logits")[0], expected, atol=1e-5)
    facts = read_attributes(home / "mapped.zarr")["made_from"]["teacher"]
    assert facts["classes"] == [[0], [1], [2], [3], [4], [5], [6], [7], [8], [9, 11]]
    assert (facts["outputs"], facts["outputs_of_classes"]) == (OUTPUTS, facts["classes"])
    assert "sound" in succeed("verify", home / "mapped.zarr", "--teacher", *own(home, teacher__classes=MAPPED))
    succeed("distill", *own(home, teacher__classes=MAPPED, distill__method="kd"))
    other = run_command("distill", *own(home, teacher__classes=MAPPED | {"9": [9, 10]}, distill__method="kd"))
    assert other.exit_code == 2
    assert "teacher.classes" in other.output


def test_a_teacher_of_other_classes_is_refused_with_the_way_out(home: Path) -> None:
    refused = run_command("extract-teacher", *own(home, store__path=str(home / "no.zarr")))
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert "fc.weight [12, 64] for [10, 64]" in said
    assert "a teacher of 12 other classes, set teacher.classes" in said
    trained = run_command("train-teacher", *own(home, teacher__classes=MAPPED))
    assert "set teacher.init to its weights" in " ".join(trained.output.split())


ALONE: dict[str, Any] = {"store__logits": False, "store__features": True, "store__path": "alone.zarr"}
BY_FEATURES: dict[str, Any] = {"distill__loss__name": "pkt", "distill__kd_weight": 0, "distill__ce_weight": 1}


def alone(home: Path, **more: Any) -> list[str]:
    return own(home, **(ALONE | {"store__path": str(home / "alone.zarr")} | more))


@pytest.fixture(scope="module")
def features_alone(home: Path) -> Path:
    succeed("extract-teacher", *alone(home))
    return home / "alone.zarr"


def test_features_alone_are_stored_whatever_the_last_layer_is(home: Path, features_alone: Path) -> None:
    group = zarr.open_group(features_alone, mode="r")
    assert "logits" not in group
    _, features = outputs(home)
    np.testing.assert_allclose(read_array(features_alone, "features")[0], features, rtol=1e-3, atol=1e-3)  # float16
    assert read_attributes(features_alone)["made_from"]["teacher"]["test_accuracy"] is None
    said = " ".join(succeed("inspect", features_alone).split())
    assert "encoding features alone" in said
    assert "teacher.test accuracy not known: there are no logits" in said
    assert "sound" in succeed("verify", features_alone, "--teacher", *alone(home))
    assert "nothing to do" in succeed("extract-teacher", *alone(home))


@pytest.mark.loops
def test_students_learn_from_features_alone_and_are_condensed(home: Path, features_alone: Path) -> None:
    succeed("distill", *alone(home, distill__method="kd", **BY_FEATURES))
    succeed("distill", *alone(home, distill__method="kcd", condense__perturb="pair", **BY_FEATURES))
    summaries = [json.loads(file.read_text()) for file in home.glob("*pkt*/summary.json")]
    assert [summary["store"]["encoding"] for summary in summaries] == ["features alone"] * 2
    assert "pkt" in succeed("report", home)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "distill.loss.name is kd, which is on logits, but store.logits is false"),
        ({"distill__loss__name": "pkt"}, "distill.kd_weight is 0.9, which weighs a loss on logits"),
        (BY_FEATURES | {"condense__value": "gap"}, "condense.value is gap, which looks at the teacher's logits"),
        (BY_FEATURES | {"store__features": False}, "nothing would be stored: set features to true"),
    ],
)
def test_what_needs_logits_is_refused_by_name(
    home: Path, features_alone: Path, keys: dict[str, Any], said: str
) -> None:
    refused = run_command("distill", *alone(home, **keys))
    assert refused.exit_code == 2
    assert said in " ".join(refused.output.split())


def test_a_recipe_that_wants_logits_does_not_take_a_store_without(home: Path, features_alone: Path) -> None:
    refused = run_command("distill", *own(home, teacher__classes=MAPPED, store__path=str(features_alone)))
    assert refused.exit_code == 2
    assert "encoding.name: found none, expected float32" in " ".join(refused.output.split())


class Pooled(nn.Module):
    """A model whose logits are a mean over places: no linear layer gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, OUTPUTS, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(images).relu()).mean(dim=(2, 3))


def test_the_input_of_a_convolution_that_ends_a_model_is_its_features() -> None:
    from kcd_pipeline.models import FeatureTap

    torch.manual_seed(0)
    model, images = Pooled().eval(), torch.randn(3, 1, 8, 8)
    tap = FeatureTap.before_any_head(model, image_shape=[1, 8, 8])
    with torch.no_grad():
        model(images)
        expected = model.stem(images).relu().mean(dim=(2, 3))
    assert tap.width == 6
    torch.testing.assert_close(tap.take(), expected)


def test_a_student_that_began_from_weights_is_resumed_with_those_alone(home: Path) -> None:
    init = home / "begin.pth"
    torch.save(torch.load(home / "twelve.pth", weights_only=True), init)
    begun = own(home, student__model="resnet8", student__init=str(init), distill__method="none")
    said = succeed("distill", *begun)
    assert "init" in said
    torch.manual_seed(5)
    torch.save(build_model("resnet8", channels=1, classes=OUTPUTS).state_dict(), init)
    refused = run_command("distill", *begun)
    assert refused.exit_code == 2
    assert "init: found" in " ".join(refused.output.split())
