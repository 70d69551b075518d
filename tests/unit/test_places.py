"""Paths in a recipe: `~`, `$VAR` and placeholders in them, what is no path, and secrets of URLs."""

import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from kcd_pipeline.config import Config, as_override, load_config, parse_config
from kcd_pipeline.config.places import OF_RUN, PLACES
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder

SECRET = "s3://user:hunter2@bucket/store.zarr?X-Amz-Signature=hunter2"


def refusal(*overrides: str, recipe: str = "digits") -> str:
    with pytest.raises(UserError) as caught:
        load_config(recipe, overrides)
    return str(caught.value)


def place(config: Config, key: str) -> str:
    section, name = key.split(".")
    return str(getattr(getattr(config, section), name))


def test_every_path_of_the_schema_is_a_place() -> None:
    paths = set()
    for section, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for name, child in field.annotation.model_fields.items():
                kinds = (
                    child.annotation.__args__ if isinstance(child.annotation, types.UnionType) else [child.annotation]
                )
                paths |= {f"{section}.{name}" for kind in kinds if "Path" in str(kind)}
    assert paths | {"store.path"} == set(PLACES)


@pytest.mark.parametrize("key", PLACES)
def test_a_home_folder_and_variables_are_filled_in(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/$me")  # what a variable holds is not expanded again
    for written, meant in [
        ("~/x.zarr", "/home/me/x.zarr"),
        ("$SCRATCH/x", "/scratch/$me/x"),
        ("a/${SCRATCH}b", "a//scratch/$meb"),
        ("a$$b", "a$b"),
        ("a~", "a~"),
        ("./~", "./~"),
    ]:
        assert place(load_config("digits", [f"{key}={written}"]), key) == str(
            Path(meant) if key != "store.path" else meant
        )


def test_they_are_filled_in_in_a_file_and_in_what_it_extends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch")
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({"extends": "digits", "store": {"path": "$SCRATCH/store"}}))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"extends": "base", "data": {"root": "${SCRATCH}/data"}}))
    config = load_config(str(tmp_path / "own.yaml"))
    assert (config.store.path, str(config.data.root)) == ("/scratch/store", "/scratch/data")


@pytest.mark.parametrize("key", PLACES)
def test_what_cannot_be_filled_in_is_refused_by_its_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.setenv("EMPTY", "")
    for written, said in [
        ("$NOWHERE/x", f"{key}: found '$NOWHERE/x', but the variable NOWHERE is not set"),
        ("${EMPTY}/x", f"{key}: found '${{EMPTY}}/x', but the variable EMPTY is not set"),
        ("a$", f"{key}: found 'a$': what follows the $ is no name of a variable; write $$"),
        ("~nobody-of-this-name/x", "but there is no home folder ~nobody-of-this-name"),
        ("''", f"{key}: it is empty"),
        ('"a\\tb"', f"{key}: 'a\\tb' holds a character that cannot be printed"),
        ('"a\\0b"', f"--set {key}: "),
        ("runs/{teacher}", f"{key}: it holds {{teacher}}, but what is filled in is {{student}}, "),
    ]:
        assert said in refusal(f"{key}={written}")


def test_no_home_folder_is_needed_where_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user whom no list of users has
    assert load_config("digits").store.path == "runs/digits/store.zarr"
    assert "there is no home folder ~; set HOME" in refusal("store.path=~/x")


@pytest.mark.parametrize("path", [".", "..", "/", "a/.."])
def test_weights_are_a_file(path: str) -> None:
    assert f"teacher.weights: '{path}' is a folder, expected a file" in refusal(f"teacher.weights={path}")


# --- placeholders ----------------------------------------------------------------------------------------


def test_seed_and_student_are_filled_in_wherever_a_path_is() -> None:
    keys = ("data.root", "teacher.weights", "store.path", "condense.plans_from")
    config = load_config("digits", [*(f"{key}=a/{{student}}-{{seed}}" for key in keys), "seed=7"])
    assert {place(config, key) for key in keys[:3]} == {"a/resnet8-7"}
    assert config.plans_from == Path("a/resnet8-7")


@pytest.mark.parametrize("key", ["data.root", "teacher.weights", "store.path"])
@pytest.mark.parametrize("name", ["{method}", "{variant}"])
def test_a_teacher_and_a_store_are_of_all_methods(key: str, name: str) -> None:
    assert f"{key}: it holds {name}, but what is filled in is {{student}}, {{seed}}" in refusal(f"{key}=a/{name}")


@pytest.mark.parametrize("name", OF_RUN)
def test_set_takes_a_path_that_begins_with_a_placeholder(name: str) -> None:
    assert str(load_config("digits", [f"run.dir={name}-x"]).run.dir) == f"{name}-x"


# --- a path of the command line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["a: b", "010", "null", "$HOME/x", "é😀", "x #y", "[a", " a ", "'q'", "C:\\new", "a.zarr"]
)
def test_a_path_given_as_an_argument_is_taken_as_it_is(path: str) -> None:
    assert load_config("digits", [as_override("store.path", path)]).store.path == path


def test_a_folder_whose_name_begins_with_a_tilde_is_not_a_home() -> None:
    assert load_config("digits", [as_override("store.path", "~x")]).store.path == "./~x"


# --- secrets ---------------------------------------------------------------------------------------------


def test_secrets_of_a_url_are_used_but_neither_written_nor_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", SECRET)
    config = load_config("digits", ["store.path=$WHERE"])
    assert config.store.path == SECRET
    assert "hunter2" not in str(config.plain())
    assert config.plain()["store"]["path"].startswith("s3://***@bucket/store.zarr?")
    RunFolder(tmp_path).begin(config.plain(), {})
    assert all(b"hunter2" not in file.read_bytes() for file in tmp_path.iterdir())
    assert parse_config(RunFolder(tmp_path).read_config(), source="again").plain() == config.plain()


@pytest.mark.parametrize(
    "override",
    [
        f"distill.epochs={SECRET}",
        f"data.name={SECRET}",
        f"store.path={SECRET}/$NOWHERE",
        f'store.path="{SECRET}\\n"',
        f"store=[{SECRET}]",
        f"data.root={{x: {SECRET}}}",
        f"store.path=[{SECRET}",
        SECRET,
    ],
)
def test_no_refusal_tells_a_secret(override: str) -> None:
    assert "hunter2" not in refusal(override)


def test_a_long_value_is_cut_in_a_message() -> None:
    message = refusal(f"data.name={'x' * 5000}", f"distill.epochs={'y' * 5000}")
    assert len(message) < 1000


def test_a_long_key_is_cut_in_a_message() -> None:
    assert len(refusal(f"{'x' * 5000}=1")) < 1000
    assert len(refusal(f"{'x.' * 5000}y=1")) < 1000


def arguments(value: Any) -> Config:
    return load_config("digits", [f"student.arguments={value}"])


@pytest.mark.parametrize("value", ["{a: .inf}", "{a: [1, {b: .nan}]}", "{a: 9223372036854775808}", "{a: -1e30}"])
def test_numbers_among_the_arguments_of_a_model_are_bounded(value: str) -> None:
    assert "student.arguments: " in refusal(f"student.arguments={value}")
    assert arguments("{a: 9223372036854775807, b: true, c: [1.5]}").student.arguments["b"] is True
