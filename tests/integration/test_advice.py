"""Advice of errors that can be pasted into a shell: the recipe and the settings that were asked for are in it."""

import re
import shlex
from pathlib import Path

import pytest
from tests.support.commands import run_command

SMALL = ["data.limit_per_class=10", "teacher.epochs=1", "distill.epochs=1", "store.views=1", "run.device=cpu"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a new folder whose name needs quotes, as in a fresh clone."""
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")


def settings(*more: str) -> list[str]:
    return [word for setting in (*SMALL, *more) for word in ("--set", setting)]


def chain(said: str) -> list[list[str]]:
    """Return the commands of the line of shell that an error gives, as words."""
    (line,) = re.findall(r"in order: `(.*?)`\.", " ".join(said.split()))
    return [shlex.split(command) for command in line.split(" && ")]


def test_what_the_first_command_lacks_is_made_by_the_line_that_it_gives() -> None:
    first = run_command("distill", "digits", *settings("run.dir=my run", "seed=3"))
    assert first.exit_code == 2
    steps = chain(first.stderr)
    assert [step[:3] for step in steps] == [
        ["kcd-pipeline", command, "digits"] for command in ("train-teacher", "extract-teacher", "distill")
    ]
    for step in steps:
        ended = run_command(*step[1:])
        assert ended.exit_code == 0, ended.output
    assert "Run: my run" in ended.stdout
    assert Path("my run", "summary.json").is_file()


def test_only_what_is_missing_is_named() -> None:
    Path("teacher.safetensors").write_bytes(b"weights of somebody")
    ended = run_command("distill", "digits", *settings("teacher.weights=teacher.safetensors", "distill.method=kd"))
    assert [step[1] for step in chain(ended.stderr)] == ["extract-teacher", "distill"]


def test_secrets_are_not_repeated() -> None:
    ended = run_command("distill", "digits", *settings("store.path=https://me:hunter2@localhost:9/store.zarr"))
    assert ended.exit_code in (1, 2)
    assert "hunter2" not in ended.output
