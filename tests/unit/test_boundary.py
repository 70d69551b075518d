"""Errors of the library become messages of the command line: the same problem, with advice in commands and keys."""

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kcd_stores
from kcd_pipeline.cli import main
from kcd_pipeline.cli.boundary import ADVICE, explain
from kcd_pipeline.config.reference import reference
from kcd_stores import (
    CorruptStoreError,
    IncompleteStoreError,
    Remedy,
    StoreError,
    StoreMismatchError,
    StoreUsageError,
)


@pytest.mark.parametrize("remedy", Remedy, ids=lambda remedy: remedy.name)
def test_each_remedy_has_advice_on_the_command_line(remedy: Remedy) -> None:
    error = StoreUsageError("there is no store at x.zarr.", remedy=remedy)
    assert str(error) == f"there is no store at x.zarr. {remedy.value}"
    assert explain(error) == (f"Error: there is no store at x.zarr. {ADVICE[remedy]}", 2)


def test_an_error_without_a_remedy_is_shown_unchanged() -> None:
    assert explain(StoreError("the store at x.zarr was replaced.")) == ("Failed: the store at x.zarr was replaced.", 1)


@pytest.mark.parametrize(
    "kind", [StoreError, StoreUsageError, StoreMismatchError, IncompleteStoreError, CorruptStoreError]
)
def test_an_error_keeps_its_remedy_on_its_way_from_a_worker(kind: type[StoreError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a problem.", remedy=Remedy.SHARE_FOLDER)))
    assert type(error) is kind
    assert (error.problem, error.remedy, str(error)) == (
        "a problem.",
        Remedy.SHARE_FOLDER,
        f"a problem. {Remedy.SHARE_FOLDER.value}",
    )


def test_an_error_carries_the_damage_apart_from_its_message() -> None:
    error = CorruptStoreError("the store at x.zarr is damaged in c/0.", damage="c/0", remedy=Remedy.RESTORE_STORE)
    assert (pickle.loads(pickle.dumps(error)).damage, CorruptStoreError("all of it").damage) == ("c/0", "all of it")


def messages(source: str) -> Iterator[str]:
    """Yield the string constants of a module, parts of f-strings among them, docstrings apart."""
    tree = ast.parse(source)
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(node.body[0].value) for node in documented if node.body and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def words_of_the_command_line() -> set[str]:
    """Commands, options and keys of a recipe; not the commands that are words of any message, such as `report`."""
    commands = {name for name in main.commands if "-" in name} | {"distill", "condense"}
    parameters = [parameter for command in main.commands.values() for parameter in command.params]
    options = {option for parameter in parameters for option in parameter.opts if option.startswith("--")}
    keys = set(re.findall(r"^\| `(\w+\.[\w.]+)` \|", reference(), re.MULTILINE))
    assert {"extract-teacher", "--overwrite", "store.path", "distill.loss.name"} <= commands | options | keys
    return {"kcd-pipeline", "kcd_pipeline"} | commands | options | keys


def test_no_message_of_the_stores_names_a_command_or_a_key() -> None:
    words = re.compile(
        "|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" for word in sorted(words_of_the_command_line()))
    )
    root = Path(kcd_stores.__file__).parent
    files = sorted(root.rglob("*.py"))
    assert len(files) > 20
    found = {
        f"{file.relative_to(root)}: {message}"
        for file in files
        for message in messages(file.read_text())
        if words.search(message)
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            '"""Docs say store.path."""\ndef f(x):\n    """And here."""\n    return f"set store.path to {x}"',
            ["set store.path to "],
        ),
        ('class A:\n    """Docs."""\n    name = "a"', ["a"]),
    ],
)
def test_docstrings_are_no_messages(source: str, expected: list[str]) -> None:
    assert list(messages(source)) == expected
