"""Models of torchvision, of timm and of the user's own modules, for any classes, with their weights or without."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from click.testing import CliRunner
from torch import nn

from kcd_pipeline.cli import main
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.models import build_model, model_for, parameter_count, zoo_names
from kcd_pipeline.models.counting import multiply_adds
from kcd_pipeline.models.external import is_published, published_state

KEYS = "teacher.model or student.model"


def refusal(name: str, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        build_model(name, **({"channels": 3, "classes": 10} | more))
    return str(caught.value)


# --- torchvision -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "googlenet", "shufflenet_v2_x0_5"])
def test_torchvisions_classifiers_have_the_data_sets_classes(name: str) -> None:
    model = build_model(f"torchvision/{name}", channels=3, classes=7)
    assert model.training
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 7)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A hub folder that already has what torchvision would fetch: random weights under the published file's name."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    state = torchvision.models.resnet18().state_dict()
    file = torchvision.models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "hub" / "checkpoints" / file)
    return state


def test_torchvisions_weights_are_loaded_by_the_name_of_their_enum(published: dict[str, torch.Tensor]) -> None:
    for which in ("DEFAULT", "IMAGENET1K_V1"):
        model = build_model("torchvision/resnet18", channels=3, classes=1000, arguments={"weights": which})
        assert all(torch.equal(tensor, published[key]) for key, tensor in model.state_dict().items())


def test_for_other_classes_all_but_the_last_layer_is_theirs(published: dict[str, torch.Tensor]) -> None:
    model = build_model("torchvision/resnet18", channels=3, classes=7, arguments={"weights": "DEFAULT"})
    state = model.state_dict()
    assert state["fc.weight"].shape == (7, 512)
    assert all(torch.equal(state[key], published[key]) for key in published if not key.startswith("fc."))


def test_published_weights_can_be_a_teachers_weights(published: dict[str, torch.Tensor]) -> None:
    assert is_published(Path("torchvision/DEFAULT"))
    state = published_state("torchvision/resnet18", Path("torchvision/DEFAULT"), {})
    assert state.keys() == published.keys()
    assert all(torch.equal(state[key], published[key]) for key in state)


def test_a_file_of_that_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "DEFAULT").touch()
    assert not is_published(Path("torchvision/DEFAULT"))
    assert not is_published(Path("runs/teacher.safetensors"))


def test_weights_that_cannot_be_fetched_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*arguments: Any, **more: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(FailedError, match="the weights of torchvision/resnet18 could not be fetched: Name or service"):
        build_model("torchvision/resnet18", channels=3, classes=10, arguments={"weights": "DEFAULT"})


def test_what_torchvision_does_not_have_is_refused_with_the_nearest() -> None:
    assert "has no classifier 'resnet19'; did you mean 'resnet1" in refusal("torchvision/resnet19")
    assert "has no classifier 'fcn_resnet50'" in refusal("torchvision/fcn_resnet50")
    message = refusal("torchvision/resnet18", arguments={"weights": "IMAGENET1K_V2"})
    assert "torchvision/resnet18 has no weights 'IMAGENET1K_V2'; did you mean 'IMAGENET1K_V1'?" in message
    assert "takes images of 3 channels, and these have 1" in refusal("torchvision/resnet18", channels=1)
    message = refusal("torchvision/resnet18", arguments={"depth": 3})
    assert "torchvision/resnet18 cannot be built with" in message
    assert "unexpected keyword argument 'depth'" in message


# --- timm ------------------------------------------------------------------------------------------------


def test_timms_models_take_any_channels_classes_and_arguments() -> None:
    pytest.importorskip("timm")
    model = build_model("timm/resnet10t", channels=1, classes=7, arguments={"drop_rate": 0.25})
    assert model(torch.randn(2, 1, 64, 64)).shape == (2, 7)
    assert model.drop_rate == 0.25


def test_timms_pretrained_weights_can_be_a_teachers_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    asked: dict[str, Any] = {}
    make = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **more: Any) -> nn.Module:
        asked.update(name=name, pretrained=pretrained)
        return make(name, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", offline)
    state = published_state("timm/resnet18.a1_in1k", Path("timm/pretrained"), {})
    assert asked == {"name": "resnet18.a1_in1k", "pretrained": True}
    assert state["fc.weight"].shape == (1000, 512)


def test_what_timm_does_not_have_is_refused_with_the_nearest() -> None:
    pytest.importorskip("timm")
    assert "has no model 'resnet18x'; did you mean 'resnet18" in refusal("timm/resnet18x")
    with pytest.raises(UserError, match="found timm/DEFAULT, expected timm/pretrained"):
        published_state("timm/resnet18", Path("timm/DEFAULT"), {})
    with pytest.raises(UserError, match=r"but teacher\.model is resnet8: give a torchvision/NAME there, or a file"):
        published_state("resnet8", Path("torchvision/DEFAULT"), {})


# --- a callable of the user's ------------------------------------------------------------------------------

OWN = """
from torch import nn

def linear(channels, classes, hidden=4):
    size = channels * 8 * 8
    return nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, classes))

def fixed(outputs):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))

def none(channels, classes):
    return "no module"

def twice(channels, classes):
    class Two(nn.Module):
        def forward(self, x):
            return x, x
    return Two()

constant = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder, which is not on the import path of an installed command."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return name


def test_a_callable_is_given_channels_classes_and_its_arguments(own: str) -> None:
    model = build_model(f"{own}:linear", channels=1, classes=10, arguments={"hidden": 6})
    assert parameter_count(model) == 64 * 6 + 6 + 6 * 10 + 10
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_a_callable_that_knows_no_channels_is_given_its_arguments_alone(own: str) -> None:
    model = model_for(f"{own}:fixed", image_shape=[1, 8, 8], classes=10, arguments={"outputs": 10})
    assert model.training
    with pytest.raises(UserError, match=r"gives shape \[2, 9\] for two images, expected logits \[2, 10\]"):
        model_for(f"{own}:fixed", image_shape=[1, 8, 8], classes=10, arguments={"outputs": 9})


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("nothing", "there is no '{name}', which {keys} names: module '{module}' has no attribute 'nothing'"),
        ("constant", "'{name}', which {keys} names, is a int, expected something to call"),
        ("none", "'{name}' returned a str, expected a torch.nn.Module"),
        ("twice", "{name} gives tuple for two images, expected logits [2, 10]"),
        ("fixed", "{name} cannot be built with no arguments: TypeError: fixed() missing 1 required"),
    ],
)
def test_what_is_no_model_is_refused_by_name(own: str, attribute: str, said: str) -> None:
    name = f"{own}:{attribute}"
    with pytest.raises(UserError, match=re.escape(said.format(name=name, module=own, keys=KEYS))):
        model_for(name, image_shape=[1, 8, 8], classes=10)


def test_a_module_that_is_not_there_says_where_it_was_looked_for(own: str) -> None:
    message = refusal("no_such_module:build")
    assert f"there is no 'no_such_module:build', which {KEYS} names: No module named 'no_such_module'" in message
    assert str(Path.cwd()) in message


# --- models that do not fit ------------------------------------------------------------------------------


def test_arguments_of_a_model_that_takes_none_are_refused() -> None:
    assert refusal("resnet8", arguments={"width": 3}) == "resnet8 takes no arguments, found width"


def test_images_too_small_for_a_model_are_refused_with_both() -> None:
    with pytest.raises(
        UserError, match=r"vgg8 cannot take images of \[1, 4, 4\] \(channels, height, width\): "
    ) as caught:
        model_for("vgg8", image_shape=[1, 4, 4], classes=10)
    assert "data.image_size" in str(caught.value)


def test_looking_at_a_model_changes_nothing_of_it() -> None:
    torch.manual_seed(3)
    looked_at = model_for("resnet8", image_shape=[1, 8, 8], classes=10)
    after = torch.rand(1)
    torch.manual_seed(3)
    plain = build_model("resnet8", channels=1, classes=10)
    assert torch.equal(after, torch.rand(1))
    assert all(
        torch.equal(a, b) for a, b in zip(looked_at.state_dict().values(), plain.state_dict().values(), strict=True)
    )


# --- kcd-pipeline models ---------------------------------------------------------------------------------


def test_multiply_adds_are_those_worked_out_by_hand() -> None:
    # resnet8 on 1x8x8, 10 classes. Stem 8*8*9*16 = 9,216. Stage 1, at 8x8: two of 16 to 16, 2*64*9*256 = 294,912.
    # Stage 2, at 4x4: 16*9*16*32 + 16*9*32*32 + shortcut 16*16*32 = 73,728 + 147,456 + 8,192 = 229,376.
    # Stage 3, at 2x2: 4*9*32*64 + 4*9*64*64 + shortcut 4*32*64 = 73,728 + 147,456 + 8,192. Last: 640.
    expected = 9_216 + 294_912 + 229_376 + 229_376 + 640
    assert multiply_adds(build_model("resnet8", channels=1, classes=10), (1, 8, 8)) == expected


def test_multiply_adds_of_grouped_convolutions_count_each_group_alone() -> None:
    depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
    assert multiply_adds(depthwise, (12, 5, 5)) == 5 * 5 * 9 * 12


def test_the_command_lists_the_zoo_with_its_costs() -> None:
    result = CliRunner().invoke(main, ["models", "--input", "3x32x32", "--classes", "100", "--json"])
    assert result.exit_code == 0, result.output
    listed = json.loads(result.output)
    assert (listed["input"], listed["classes"]) == ([3, 32, 32], 100)
    by_name = {model["name"]: model for model in listed["models"]}
    assert list(by_name) == zoo_names()
    assert by_name["resnet20"]["parameters"] == 278_324
    # Zagoruyko & Komodakis give none; the field's tables say 0.33 G for wrn_40_2 and 1.08 G for resnet32x4
    assert round(by_name["wrn_40_2"]["multiply_adds"] / 1e9, 2) == 0.33
    assert round(by_name["resnet32x4"]["multiply_adds"] / 1e9, 2) == 1.08


def test_the_command_counts_external_models_by_name() -> None:
    result = CliRunner().invoke(
        main, ["models", "torchvision/resnet18", "vgg8", "--input", "3x4x4", "--classes", "1000"]
    )
    assert result.exit_code == 0, result.output
    head, torchvisions, ours = (line.split() for line in result.output.splitlines())
    assert head == ["model", "parameters", "multiply-adds"]
    assert torchvisions[:2] == ["torchvision/resnet18", "11,689,512"]  # as torchvision's documentation has it
    assert ours[2] == "–"  # too small for its pooling


def test_torchvisions_resnet18_costs_what_its_documentation_says() -> None:
    model = build_model("torchvision/resnet18", channels=3, classes=1000)
    counted = multiply_adds(model, (3, 224, 224))
    assert counted is not None
    assert round(counted / 1e9, 2) == round(
        torchvision.models.ResNet18_Weights.DEFAULT.meta["_ops"], 2
    )  # GFLOPS = GMAC


@pytest.mark.parametrize("shape", ["3x32", "3x32x0", "ax32x32", "3x32x32x1", "3,32,32"])
def test_a_shape_that_is_none_is_refused_with_an_example(shape: str) -> None:
    result = CliRunner().invoke(main, ["models", "--input", shape])
    assert result.exit_code == 2
    assert f"'{shape}' is not channels x height x width; for example 3x32x32" in " ".join(result.output.split())
