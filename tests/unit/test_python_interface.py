"""The Python interface: recipes in every form, objects by name, and nothing loaded before it is called for."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import kcd_pipeline
from kcd_pipeline.config import Config
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import recorded_model
from kcd_pipeline.models.passed import structure
from kcd_pipeline.own_parts import load_part, passed_name

KEYS = {
    "data": {"name": "digits"},
    "teacher": {"model": "resnet8", "weights": Path("t.safetensors")},
    "store": {"path": "s.zarr"},
    "student": {"model": "resnet8"},
}


def network(width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


# --- recipes ---------------------------------------------------------------------------------------------


def test_a_recipe_is_read_from_its_name_its_path_a_mapping_and_a_config(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: digits\nseed: 3\n")
    by_path = kcd_pipeline.load_config(file)
    assert (by_path.seed, kcd_pipeline.load_config(str(file))) == (3, by_path)
    assert kcd_pipeline.load_config({"extends": "digits", "seed": 3}).plain() == by_path.plain()
    assert kcd_pipeline.load_config(by_path) is by_path
    assert kcd_pipeline.load_config(KEYS).teacher.weights == Path("t.safetensors")


@pytest.mark.parametrize(
    "overrides",
    [
        {"distill.epochs": 7, "data.root": Path("a $HOME ~b")},
        ["distill.epochs=7", "data.root=a $$HOME ~b"],
        {"distill": {"epochs": 7}, "data": {"root": "a $$HOME ~b"}},
    ],
)
def test_overrides_are_a_mapping_or_the_texts_of_the_command_line(overrides: object) -> None:
    config = kcd_pipeline.load_config("digits", overrides)  # type: ignore[arg-type]  # of several types
    assert (config.distill.epochs, config.data.root) == (7, Path("a $HOME ~b"))


def test_a_config_with_overrides_keeps_its_other_keys_and_its_places() -> None:
    first = kcd_pipeline.load_config(KEYS, {"seed": 4, "data.root": Path("of $nobody")})
    second = kcd_pipeline.load_config(first, {"distill.epochs": 9})
    expected = first.plain()
    expected["distill"]["epochs"] = 9
    expected["run"]["dir"] = "runs/{student}-{variant}-epochs=9-seed{seed}"
    assert second.plain() == expected


@pytest.mark.parametrize(
    ("config", "overrides", "says"),
    [
        ("digit", {}, "did you mean"),
        ({"data": {"name": "digits"}}, {}, "the mapping of keys"),
        ({**KEYS, "studnt": {}}, {}, "studnt"),
        (KEYS, {"distill.epoch": 3}, "epochs"),
        (KEYS, {"distill.epochs": -1}, "distill.epochs"),
        ({"extends": "nothing"}, {}, "extends 'nothing'"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_paragraph(config: object, overrides: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        kcd_pipeline.load_config(config, overrides)  # type: ignore[arg-type]  # of several types


# --- objects ---------------------------------------------------------------------------------------------


class Own(nn.Module):
    class Inner(nn.Module): ...


def test_an_object_is_recorded_by_its_class() -> None:
    class Local(nn.Module): ...

    assert passed_name(nn.Linear(1, 1)) == "object:torch.nn.modules.linear.Linear"
    assert passed_name(Own.Inner()).endswith("test_python_interface.Own.Inner")
    assert passed_name(Local()).endswith("test_an_object_is_recorded_by_its_class.Local")
    long = type("Long" * 60, (nn.Module,), {})
    assert len(passed_name(long())) < 200
    recorded = {**KEYS, "student": recorded_model(Local()), "teacher": {"weights": "t.pth", **recorded_model(long())}}
    assert isinstance(kcd_pipeline.load_config(recorded), Config)  # a valid name, which leads nowhere


def test_the_structure_of_a_model_is_that_of_its_modules_and_not_of_its_weights() -> None:
    assert structure(network(seed=0)) == structure(network(seed=1))
    assert structure(network(width=4)) != structure(network(width=5))
    other = network()
    other[2] = nn.Tanh()  # type: ignore[operator]  # a Sequential
    assert structure(other) != structure(network())


def test_the_name_of_an_object_is_never_imported() -> None:
    with pytest.raises(UserError, match="passed as an object from Python"):
        load_part("object:os.system", "student.model")


# --- the package -----------------------------------------------------------------------------------------


def test_the_package_offers_its_functions_and_loads_none_of_them_before_it_is_used() -> None:
    code = (
        "import sys, kcd_pipeline\n"
        "assert not any(name.startswith(('kcd_pipeline.', 'torch')) for name in sys.modules)\n"
        "for name in ('load_config', 'report', 'inspect'): getattr(kcd_pipeline, name)\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "import kcd_pipeline.reports, kcd_pipeline.inspection\n"
        "assert callable(kcd_pipeline.report) and callable(kcd_pipeline.inspect)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_function_that_the_package_offers_is_there() -> None:
    assert all(callable(getattr(kcd_pipeline, name)) for name in kcd_pipeline.__all__ if name != "__version__")
    assert set(kcd_pipeline.__all__) <= set(dir(kcd_pipeline))


def test_what_the_package_does_not_have_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'train_student'"):
        kcd_pipeline.train_student  # noqa: B018  # the access is what is tested
