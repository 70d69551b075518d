"""Lists in recipes: what stands in their place is refused in words of recipes, and long ones are compared usefully."""

from typing import Any

import pytest
from tests.support.recipes import small_recipe

from kcd_pipeline.errors import UserError
from kcd_stores.knowledge.description import Difference


def refusal(changes: dict[str, Any]) -> str:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    with pytest.raises(UserError) as caught:
        small_recipe(**sections)
    return str(caught.value).removeprefix("the test: ")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("run.trackers", "wandb", "run.trackers: found 'wandb', expected a list, such as [wandb]"),
        ("data.mean", 0.5, "data.mean: found 0.5, expected a list, such as [0.5]"),
        ("distill.milestones", {"a": 1}, "distill.milestones: found {'a': 1}, expected a list, such as [...]"),
        ("data.pixel_range", [1], "data.pixel_range: found [1], expected a list with more items"),
        ("data.pixel_range", [1, 2, 3], "data.pixel_range: found [1, 2, 3], expected a list of 2"),
    ],
)
def test_what_is_no_list_of_the_right_length_is_refused_as_such(key: str, value: Any, said: str) -> None:
    assert refusal({key: value}) == said


@pytest.mark.parametrize("found", [-1, 2.5, True, [[1]]])
def test_a_class_of_the_teacher_is_a_name_or_a_number_from_0(found: Any) -> None:
    shown = found[0] if isinstance(found, list) else found
    assert refusal({"teacher.classes": {"cat": [1, 2], "dog": found}}) == (
        f"teacher.classes: expected names of the teacher's classes, or indices counted from 0, found {shown}"
    )


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("imagefolder", "train", "train.csv"),
        ("imagefolder", "classes", ["cat", "dog"]),
        ("digits", "test_folder", "held out"),
        ("package.module:images", "image_column", "picture"),
    ],
)
def test_a_key_that_a_data_set_has_no_use_for_is_refused(name: str, key: str, value: Any) -> None:
    assert refusal({"data.name": name, f"data.{key}": value}).startswith(
        f"data: {key} is {value}, and name is {name}, which has no use for it: it is for "
    )


def test_long_values_are_shown_where_they_differ() -> None:
    classes = [[f"a class with a long name, {number}"] for number in range(5)]
    said = str(Difference(key="teacher.classes", found=classes, expected=[*classes[:4], ["zebra"]]))
    assert said == (
        "teacher.classes: found …ith a long name, 3'], ['a class with a long name, 4']], "
        "expected …ith a long name, 3'], ['zebra']]"
    )
    one, other = "a" * 64, "b" + "a" * 63  # digests that differ from the first place on stay whole
    assert str(Difference(key="hash", found=one, expected=other)) == f"hash: found {one}, expected {other}"
