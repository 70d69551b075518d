"""Whatever somebody wrote into the files of a run, the commands that read it end in a sentence.

The run is the committed one of the first format, whose files no checksum covers; anybody can compute one.
"""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.commands import run_command

COMMITTED = Path(__file__).parents[1] / "data" / "format-1"
FILES = ("config.yaml", "origin.json", "metrics.jsonl", "summary.json")
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "", "\x1b[2J", "a" * 300),
    *([], [None], [[1]], {}, {"a": 1}),
)
READING = (("report", "run"), ("report", "run", "--json"), ("inspect", "run"), ("inspect", "run", "--json"))
USING = (
    ("report", "run", "--html", "page.html"),
    ("condense", "run", "--export", "out.zarr", "--overwrite"),
    ("distill", "recipe.yaml", "--set", "run.dir=run"),
)
GONE = object()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "place"
    shutil.copytree(COMMITTED, folder, ignore=shutil.ignore_patterns("__pycache__", "unfinished"))
    (folder / "finished").rename(folder / "run")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


def read(file: Path) -> Any:
    text = file.read_text()
    if file.suffix == ".yaml":
        return yaml.safe_load(text)
    return [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)


def write(file: Path, content: Any) -> None:
    if file.suffix == ".yaml":
        text = yaml.safe_dump(content)
    elif file.suffix == ".jsonl":
        text = "".join(json.dumps(line) + "\n" for line in content)
    else:
        text = json.dumps(content)
    file.write_text(text)


def paths(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in nested data."""
    if path:
        yield path
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield from paths(value, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    if value is GONE:
        del content[path[-1]]
    else:
        content[path[-1]] = value


def require_sentence(*command: str) -> str:
    ended = run_command(*command)
    assert ended.exit_code in (0, 1, 2), (command, ended.output)
    assert "not foreseen" not in ended.output, (command, ended.output)
    return ended.output


@pytest.mark.parametrize(
    ("name", "path", "value", "says"),
    [
        (
            "summary.json",
            ("rows_trained",),
            GONE,
            "summary.json is not what a run writes: rows_trained: field required",
        ),
        ("summary.json", ("test_accuracy",), 1e308, "test_accuracy: input should be less than or equal to 1"),
        ("summary.json", ("store", "rows"), 0, "store.rows: input should be greater than or equal to 1 (found 0)"),
        ("summary.json", ("store", "bytes"), 2**70, "store.bytes"),
        ("summary.json", ("kept_fraction",), [], "kept_fraction"),
        ("summary.json", ("dataset",), "digits", "dataset"),
        ("config.yaml", ("distill", "epochs"), "many", "distill.epochs: input should be a valid integer"),
        ("config.yaml", ("store",), GONE, "store: field required"),
        ("config.yaml", ("distill", "lr"), float("inf"), "distill.lr"),
        ("metrics.jsonl", (0, "seconds"), -1, "metrics.jsonl"),
    ],
)
def test_what_no_run_writes_is_named(place: Path, name: str, path: tuple[Any, ...], value: Any, says: str) -> None:
    content = read(place / "run" / name)
    put(content, path, value)
    write(place / "run" / name, content)
    assert says in " ".join(require_sentence("report", "run", "--json").split())
    require_sentence("inspect", "run", "--json")


@pytest.mark.parametrize("value", [[], 1, "x", None])
def test_an_origin_that_is_none(place: Path, value: Any) -> None:
    write(place / "run" / "origin.json", value)
    for command in USING[1:]:
        assert "no readable origin.json" in require_sentence(*command)


@pytest.mark.loops
def test_any_value_in_any_place_ends_in_a_sentence(place: Path) -> None:
    chooser = random.Random(0)
    whole = shutil.copytree(place / "run", place / "whole")
    for turn in range(60):
        shutil.rmtree(place / "run")
        shutil.copytree(whole, place / "run")
        file = place / "run" / chooser.choice(FILES)
        content = read(file)
        put(content, chooser.choice(list(paths(content))), chooser.choice((*ODD, GONE)))
        write(file, content)
        for command in (*READING, *(USING if turn % 4 == 0 else ())):
            require_sentence(*command)
