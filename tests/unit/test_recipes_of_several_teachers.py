"""A list of teachers in a recipe: how it is read, what the others take from the first, and what is refused."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcd_pipeline.config import Config, load_config, only_teacher, parse_config, variant_words
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs.settings import fixed_settings, with_defaults
from kcd_stores.knowledge import differences, flatten

FIRST = {"model": "resnet20", "weights": "a.pt", "store": "a.zarr", "epochs": 3, "lr": 0.1}
SECOND = {"model": "vgg8", "weights": "b.pt", "store": "b.zarr", "weight": 2, "epochs": 5}
THIRD = {"model": "resnet14", "weights": "c.pt", "store": "c.zarr"}
TREE: dict[str, Any] = {
    "data": {"name": "digits"},
    "teacher": [FIRST, SECOND, THIRD],
    "store": {"views": 2},
    "student": {"model": "resnet8"},
}


def config_of(**changes: Any) -> Config:
    return parse_config({**copy.deepcopy(TREE), **changes}, source="own.yaml")


def refusal(**changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        config_of(**changes)
    return str(caught.value)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(TREE))
    return str(file)


def test_a_list_is_a_first_teacher_and_others() -> None:
    config = config_of()
    assert (config.teacher.model, config.store.path) == ("resnet20", "a.zarr")
    assert [(other.model, other.store) for other in config.other_teachers] == [
        ("vgg8", "b.zarr"),
        ("resnet14", "c.zarr"),
    ]
    assert config.teacher_weights == (1, 2, 1)
    assert [part.teacher.model for part in config.each_teacher()] == ["resnet20", "vgg8", "resnet14"]
    assert parse_config(config.plain(), source="its resolved config") == config


def test_the_config_of_one_teacher_is_that_of_a_recipe_which_has_no_other() -> None:
    alone = {key: value for key, value in SECOND.items() if key not in ("store", "weight")}
    expected = config_of(teacher={**alone, "lr": 0.1}, store={"path": "b.zarr", "views": 2})
    assert config_of().for_teacher(1) == expected
    assert expected.each_teacher() == (expected,)


def test_training_that_another_teacher_does_not_state_is_that_of_the_first(recipe: str) -> None:
    others = load_config(recipe, ["teacher.epochs=1"]).other_teachers
    assert [(other.epochs, other.lr) for other in others] == [(5, 0.1), (1, 0.1)]
    own = {**FIRST, "schedule": "a.b:c", "schedule_arguments": {"d": 1}}
    config = config_of(teacher=[own, {**SECOND, "schedule": "cosine"}, THIRD])
    assert [(t.schedule, t.schedule_arguments) for t in config.other_teachers] == [("cosine", {}), ("a.b:c", {"d": 1})]


def test_a_list_replaces_all_teachers_of_what_it_extends_and_override_comes_last(tmp_path: Path, recipe: str) -> None:
    child = tmp_path / "child.yaml"
    child.write_text(yaml.safe_dump({"extends": "own.yaml", "teacher": [THIRD]}))
    config = load_config(str(child))
    assert (config.teacher.model, config.teacher.epochs, config.other_teachers) == ("resnet14", 240, ())
    assert (config.store.path, config.store.views) == ("c.zarr", 2)
    assert load_config(recipe, ["store.path=d.zarr"]).store.path == "d.zarr"
    assert load_config(recipe, ["other_teachers=[]"]).other_teachers == ()
    parts = load_config(recipe).each_teacher()
    assert [load_config(recipe, [only_teacher(part)]).teacher for part in parts] == [part.teacher for part in parts]


def test_places_of_every_teacher_are_filled_in(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/there")
    other = "{model: vgg8, weights: '$PLACE/{student}.pt', store: '$PLACE/{seed}.zarr'}"
    found = load_config(recipe, ["seed=3", f"other_teachers=[{other}]"]).other_teachers[0]
    assert (str(found.weights), found.store) == ("/there/resnet8.pt", "/there/3.zarr")
    monkeypatch.delenv("PLACE")
    with pytest.raises(UserError, match=r"other_teachers\.0\.weights.*PLACE is not set"):
        load_config(recipe, [f"other_teachers=[{other}]"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": []}, "an empty list"),
        ({"teacher": [FIRST, 3]}, "a list that holds something else"),
        ({"other_teachers": [SECOND]}, "Name all teachers in the list"),
        ({"teacher": [FIRST, {**SECOND, "modle": 1}]}, "no key 'other_teachers.0.modle'; did you mean 'model'"),
        (
            {"teacher": [FIRST, {"model": "vgg8", "weights": "b.pt"}]},
            "store is missing: add it to teacher 2 of the file",
        ),
        ({"teacher": [FIRST, {**SECOND, "store": "a.zarr"}]}, "two teachers have one store, a.zarr"),
        ({"teacher": [FIRST, {**SECOND, "weight": 0}]}, "other_teachers.0.weight: found 0"),
        ({"teacher": FIRST}, "no key 'teacher.store'"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(**changes)


def test_runs_are_named_after_the_number_of_their_teachers(recipe: str) -> None:
    assert load_config(recipe, ["distill.method=kd"]).run_dir == Path("runs/resnet8-kd-3-teachers-seed0")
    assert variant_words(config_of(distill={"method": "kd", "blend": "logits"}).plain()) == [
        "3 teachers",
        "mean of logits",
    ]
    assert variant_words(config_of(distill={"method": "none"}).plain()) == []
    assert "other_teachers=none" in load_config(recipe, ["other_teachers=[]"]).run_dir.name


def test_places_may_change_on_a_resume_and_teachers_may_not() -> None:
    before = with_defaults(flatten(fixed_settings(config_of().plain())))
    moved = config_of(teacher=[FIRST, {**SECOND, "weights": "x.pt", "store": "x.zarr"}, THIRD])
    assert differences(before, fixed_settings(moved.plain())) == []
    other = config_of(teacher=[FIRST, {**SECOND, "weight": 3}, THIRD])
    assert [item.key for item in differences(before, fixed_settings(other.plain()))] == ["other_teachers.0.weight"]
    fewer = config_of(teacher=[FIRST, SECOND])
    assert [item.key for item in differences(before, fixed_settings(fewer.plain()))] == ["other_teachers.count"]


def test_a_run_of_several_teachers_from_before_a_key_of_theirs_goes_on() -> None:
    config = config_of().plain()
    older = copy.deepcopy(config)
    for other in older["other_teachers"]:
        del other["ema"], other["accumulate"]
    assert differences(with_defaults(flatten(fixed_settings(older))), fixed_settings(config)) == []


def test_a_run_from_before_there_were_several_teachers_goes_on() -> None:
    config = config_of(teacher={"model": "resnet20", "weights": "a.pt"}, store={"path": "a.zarr"}).plain()
    older = {key: value for key, value in copy.deepcopy(config).items() if key != "other_teachers"}
    del older["teacher"]["weight"], older["distill"]["blend"]
    assert differences(with_defaults(flatten(fixed_settings(older))), fixed_settings(config)) == []
