"""Names and types of entries: known wrappers are taken off and named, and what is quantised is no weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from kcd_pipeline.errors import UserError
from kcd_pipeline.models import build_model, fill_model, load_weights, weights_hash
from kcd_pipeline.models.wrappers import fitting_prefixes, without_holders, without_wrappers


class Student(nn.Module):
    """A model of two layers, the second of which has a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)


class Holder(nn.Module):
    """A module that has a model under the name `student`."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(1)
    return Student()


def compiled(model: nn.Module) -> nn.Module:
    wrapper = torch.compile(model)
    assert isinstance(wrapper, nn.Module)
    return wrapper


def prefixed(model: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def filled(state: dict[str, Tensor]) -> tuple[nn.Module, tuple[str, ...]]:
    torch.manual_seed(2)
    target = Student()
    return target, fill_model(target, state, source=Path("w.pth"), name="student")


def refusal(state: dict[str, Tensor], target: nn.Module | None = None) -> str:
    with pytest.raises(UserError) as caught:
        fill_model(target or Student(), state, source=Path("w.pth"), name="student")
    return str(caught.value)


# --- marks that only a wrapper leaves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrap", "named"),
    [
        (AveragedModel, ("'n_averaged' of an averaged model", "'module.' of parallel training")),
        (nn.DataParallel, ("'module.' of parallel training",)),
        (lambda model: nn.DataParallel(nn.DataParallel(model)), ("'module.' of parallel training",) * 2),
        (lambda model: compiled(model), ("'_orig_mod.' of torch.compile",)),
        (
            lambda model: nn.DataParallel(compiled(model)),
            ("'_orig_mod.' of torch.compile", "'module.' of parallel training"),
        ),
    ],
)
def test_wrappers_are_taken_off_when_a_file_is_read(
    tmp_path: Path, model: nn.Module, wrap: Any, named: tuple[str, ...]
) -> None:
    torch.save(wrap(model).state_dict(), tmp_path / "w.pth")
    read = load_weights(tmp_path / "w.pth")
    assert read.wrappers == named
    assert weights_hash(read.state) == weights_hash(model.state_dict())


def test_a_compiled_part_of_a_model_loses_its_mark_alone(model: nn.Module) -> None:
    state, named = without_wrappers(Holder(compiled(model)).state_dict())
    assert state.keys() == Holder(model).state_dict().keys()
    assert named == ("'_orig_mod.' of torch.compile",)


@pytest.mark.parametrize("names", [["module.a", "b"], ["n_averaged"], ["n_averaged", "a"], ["a", "module"]])
def test_names_that_are_a_model_s_own_stay(names: list[str]) -> None:
    state = {name: torch.zeros(1) for name in names}
    assert without_wrappers(state) == (state, ())


# --- names under which training scripts hold a model -----------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "named"),
    [
        ("model.", ("'model.'",)),
        ("backbone.", ("'backbone.'",)),
        ("net.", ("'net.'",)),
        ("student.", ("'student.'",)),
        ("model.backbone.", ("'model.'", "'backbone.'")),
        ("", ()),
    ],
)
def test_prefixes_of_holders_are_taken_off_and_named(model: nn.Module, prefix: str, named: tuple[str, ...]) -> None:
    target, taken_off = filled(prefixed(model, prefix))
    assert taken_off == named
    assert weights_hash(target.state_dict()) == weights_hash(model.state_dict())


def test_a_student_within_parallel_training_is_found(tmp_path: Path, model: nn.Module) -> None:
    torch.save(nn.DataParallel(Holder(model)).state_dict(), tmp_path / "w.pth")
    target, taken_off = filled(load_weights(tmp_path / "w.pth").state)
    assert taken_off == ("'student.'",)
    assert weights_hash(target.state_dict()) == weights_hash(model.state_dict())


def test_a_model_that_has_such_a_name_itself_keeps_it(model: nn.Module) -> None:
    holder = Holder(Student())
    assert fill_model(holder, Holder(model).state_dict(), source=Path("w.pth"), name="holder") == ()
    assert weights_hash(holder.student.state_dict()) == weights_hash(model.state_dict())
    assert without_holders({"model.a": torch.zeros(1)}, ["model.b"])[1] == ()


def test_a_file_of_two_models_says_which_prefix_to_take(model: nn.Module) -> None:
    message = refusal(prefixed(model, "student.") | {"teacher.fc.weight": torch.zeros(9, 9)})
    assert "The entries whose names begin with 'student.' have all its names." in message
    assert "k.startswith('student.')" in message
    message = refusal(prefixed(model, "student.") | prefixed(model, "teacher."))
    assert "begin with 'student.' have all its names, and so do those under 'teacher.'" in message


def test_an_unknown_prefix_is_said_in_both_directions(model: nn.Module) -> None:
    assert "begin with 'my_net.' have all its names" in refusal(prefixed(model, "my_net."))
    message = refusal(dict(model.state_dict()), Holder(Student()))
    assert "The model has all names of the file under 'student.': put that before each." in message


def test_prefixes_that_fit_are_found_among_others() -> None:
    assert fitting_prefixes(["a.x", "a.y", "b.x", "c.x", "c.y"], ["x", "y"]) == ["a.", "c."]
    assert fitting_prefixes(["a.x"], []) == []


def test_an_architecture_is_recognised_beneath_a_prefix() -> None:
    state = prefixed(build_model("resnet8", channels=1, classes=10), "model.")
    target = build_model("resnet14", channels=1, classes=10)
    assert "They are those of a resnet8 for 10 classes and 1 channel" in refusal(state, target)


# --- types -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.float8_e4m3fn])
def test_quantised_numbers_are_no_weights(model: nn.Module, dtype: torch.dtype) -> None:
    state = dict(model.state_dict())
    state["fc.weight"] = state["fc.weight"].to(dtype)
    name = str(dtype).removeprefix("torch.")
    assert f"1 of another type, as quantised weights are: fc.weight {name} for float32" in refusal(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_another_precision_are_the_same_weights(model: nn.Module, dtype: torch.dtype) -> None:
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor.int()
        for name, tensor in model.state_dict().items()
    }
    target, _ = filled(state)
    assert torch.equal(target.state_dict()["fc.weight"].cpu(), state["fc.weight"].float())


def test_real_numbers_are_no_counters(model: nn.Module) -> None:
    state = dict(model.state_dict()) | {"norm.num_batches_tracked": torch.tensor(3.5)}
    assert "norm.num_batches_tracked float32 for int64" in refusal(state)


# --- tied parameters -----------------------------------------------------------------------------------------


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    return model


def test_a_tied_parameter_needs_only_one_of_its_names_in_a_file() -> None:
    for name in ("0.weight", "1.weight"):
        target = tied()
        fill_model(target, {name: torch.eye(3)}, source=Path("w.pth"), name="tied")
        assert torch.equal(target[0].weight, torch.eye(3))  # type: ignore[index]


def test_a_tied_parameter_with_two_values_is_refused() -> None:
    message = refusal({"0.weight": torch.eye(3), "1.weight": torch.zeros(3, 3)}, tied())
    assert "1 one parameter of the model but different in the file: 0.weight and 1.weight" in message
