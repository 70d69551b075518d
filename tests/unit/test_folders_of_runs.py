"""The folder of a run: whatever a config changes of its recipe is in its name, so that a sweep never collides."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcd_pipeline.config import load_config, variant_words

BASE: dict[str, Any] = {
    "data": {"name": "digits"},
    "teacher": {"model": "resnet20", "weights": "teacher.safetensors"},
    "store": {"path": "store.zarr"},
    "student": {"model": "resnet8"},
    "run": {"dir": "runs/{student}-{variant}-seed{seed}"},
}


def write(path: Path, content: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    return write(tmp_path / "own.yaml", BASE)


def folder(recipe: str, *overrides: str) -> str:
    return load_config(recipe, overrides).run_dir.name


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "kcd"),
        (["condense.keep_ratio=0.5"], "kcd-condense.keep_ratio=0.5"),
        (["condense.keep_ratio=.50"], "kcd-condense.keep_ratio=0.5"),  # the value counts, not how it is written
        (["condense.keep_ratio=0.7"], "kcd"),  # which is what the recipe has
        (["condense.alpha=0.5", "distill.method=kd"], "kd-condense.alpha=0.5"),
        (["distill={epochs: 12, lr: 1e-3}"], "kcd-epochs=12-lr=0.001"),
        (["distill.nesterov=true"], "kcd-nesterov=true"),
        (["condense.perturb=off", "condense.interval=7"], "kcd-drop-only-condense.interval=7"),
        (["distill.loss={name: dkd, alpha: 3}"], "kcd-dkd-loss.alpha=3.0"),
        (["teacher.epochs=9"], "kcd-teacher.epochs=9"),
        (["distill.optimizer=adamw", "distill.schedule=one-cycle"], "kcd-optimizer=adamw-schedule=one-cycle"),
        (["distill.warmup=0.5", "distill.lr_changes=step"], "kcd-warmup=0.5-lr_changes=step"),
        (["distill.milestones=[3, 5]"], "kcd-milestones=c009b8af"),
        (["student.arguments={a: 1}"], "kcd-student.arguments=f9d86028"),
        (["condense.plans_from=a/b"], "kcd-given-plans-condense.plans_from=f5effa31"),
        (["store.path=/other", "teacher.weights=w.pt", "data.root=/d", "run.device=cpu", "store.memory=1GB"], "kcd"),
    ],
)
def test_a_folder_is_named_after_what_is_changed(recipe: str, overrides: list[str], name: str) -> None:
    assert folder(recipe, *overrides) == f"resnet8-{name}-seed0"


def test_many_changes_are_one_short_word() -> None:
    settings = ["distill.epochs=3", "distill.lr=0.01", "condense.keep_ratio=0.5", "condense.interval=3"]
    many = [*settings, "distill.weight_decay=0.001", "distill.temperature=2", "store.views=3"]
    name = folder("digits", *many)
    assert name == folder("digits", *reversed(many))
    assert name.startswith("resnet8-kcd-7-changes-")
    assert len(name) < 60
    assert name != folder("digits", *many[:-1], "store.views=4")


def test_no_two_runs_of_a_sweep_share_a_folder(recipe: str) -> None:
    sweep = itertools.product(
        ["none", "kd", "kcd"], [0.5, 0.7, 0.9], [2, 3], ["most", "random"], ["kd", "dist"], [0, 1]
    )
    keys = ("distill.method", "condense.keep_ratio", "condense.interval", "condense.keep", "distill.loss.name", "seed")
    names = [folder(recipe, *(f"{key}={value}" for key, value in zip(keys, values, strict=True))) for values in sweep]
    assert len(set(names)) == len(names) == 3 * 3 * 2 * 2 * 2 * 2


def test_a_seed_and_a_student_without_a_placeholder_are_changes(recipe: str) -> None:
    given = ("run.dir=runs/{variant}", "seed=3", "student.model=resnet14")
    assert folder(recipe, *given) == "kcd-seed=3-student.model=resnet14"


def test_a_folder_without_a_variant_is_taken_as_it_is_written(recipe: str) -> None:
    assert folder(recipe, "run.dir=runs/own", "distill.epochs=3") == "own"


def test_a_recipe_that_extends_another_has_folders_of_its_own_too(tmp_path: Path, recipe: str) -> None:
    own = write(tmp_path / "longer.yaml", {"extends": "own", "distill": {"epochs": 300}})
    assert folder(own) == "resnet8-kcd-epochs=300-seed0"
    assert folder(own, "distill.epochs=240") == folder(recipe)
    named = write(tmp_path / "named.yaml", {"extends": "longer", "run": {"dir": "runs/named-{variant}"}})
    assert folder(named) == "named-kcd"
    assert folder(named, "distill.epochs=3") == "named-kcd-epochs=3"


def test_a_recipe_that_lacks_a_key_is_compared_in_all_others(tmp_path: Path) -> None:
    own = write(tmp_path / "part.yaml", {**BASE, "student": {}})
    assert folder(own, "student.model=resnet8", "distill.epochs=3") == "resnet8-kcd-epochs=3-seed0"


def test_a_recipe_that_set_mends_is_told_by_a_digest(tmp_path: Path) -> None:
    own = write(tmp_path / "wrong.yaml", {**BASE, "distill": {"epochs": 0}})
    first, second = folder(own, "distill.epochs=3"), folder(own, "distill.epochs=4")
    assert first != second
    assert first == folder(own, "distill.epochs=3")


@pytest.mark.parametrize(
    "config",
    [
        {"distill": 3},
        {"distill": {"method": ["kcd"]}},
        {"distill": {"method": "kcd", "loss": [1]}, "condense": "x"},
        {"distill": {"method": "kcd"}, "condense": {"keep": ["least"], "alpha": {}}},
    ],
)
def test_words_of_a_config_that_anybody_wrote_are_none(config: dict[str, Any]) -> None:
    assert variant_words(config) == []


def test_parts_of_ones_own_are_named_and_long_names_by_a_digest() -> None:
    own = {"value": "mine.values:doubt", "policy": "mine:spread"}
    assert variant_words({"distill": {"method": "kcd"}, "condense": own}) == ["mine.spread", "by mine.values.doubt"]
    long = {"value": f"{'package' * 10}:doubt"}
    (word,) = variant_words({"distill": {"method": "kcd"}, "condense": long})
    assert re.fullmatch(r"by own [0-9a-f]{8}", word)
    assert variant_words({"distill": {"method": "kd"}, "condense": own}) == []


# --- --set over a recipe ---------------------------------------------------------------------------------


def test_a_mapping_that_is_set_leaves_the_rest_of_its_section() -> None:
    config, recipe = load_config("digits", ["distill={epochs: 2}"]), load_config("digits")
    assert config.distill == recipe.distill.model_copy(update={"epochs": 2})


def test_a_mapping_that_is_set_may_change_several_sections_below_it() -> None:
    config = load_config("digits", ["distill={lr: 0.5, loss: {standardise: true}}", "distill.loss={}"])
    assert config.distill.lr == 0.5
    assert config.distill.loss.model_dump() == {"name": "kd", "standardise": True}


def test_another_loss_leaves_the_keys_of_the_one_before_behind(tmp_path: Path) -> None:
    own = write(tmp_path / "dkd.yaml", {**BASE, "distill": {"loss": {"name": "dkd", "alpha": 2}}})
    for override in ("distill.loss.name=dist", "distill.loss={name: dist}", "distill={loss: {name: dist}}"):
        loss = load_config(own, [override]).distill.loss
        assert loss.model_dump() == {"name": "dist", "beta": 1.0, "gamma": 1.0}
    assert load_config(own, ["distill.loss.beta=3"]).distill.loss.model_dump() == {"name": "dkd", "alpha": 2, "beta": 3}


def test_arguments_are_joined_and_an_empty_mapping_empties_them(tmp_path: Path) -> None:
    model = {"model": "timm/resnet18", "arguments": {"drop_rate": 0.1}}
    own = write(tmp_path / "timm.yaml", {**BASE, "student": model})
    assert load_config(own, ["student.arguments={a: 1}"]).student.arguments == {"drop_rate": 0.1, "a": 1}
    assert load_config(own, ["student.arguments.a=1"]).student.arguments == {"drop_rate": 0.1, "a": 1}
    assert load_config(own, ["student.arguments={}"]).student.arguments == {}
