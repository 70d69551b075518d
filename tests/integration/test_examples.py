"""The programs in examples/ run as their docstrings say, on a small store of real digits, and print what they say."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.commands import succeed

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of three epochs, and its stores of one plain view and of two augmented ones."""
    folder = tmp_path_factory.mktemp("examples")
    settings = [f"--set=teacher.weights={folder / 'teacher.safetensors'}", "--set=teacher.epochs=3"]
    settings += ["--set=teacher.model=resnet8", "--set=run.threads=1", "--set=run.device=cpu"]
    succeed("train-teacher", "digits", *settings)
    plain = ["--set=augmentation.name=none", "--set=store.views=1", f"--set=store.path={folder / 'plain.zarr'}"]
    succeed("extract-teacher", "digits", *settings, *plain)
    succeed("extract-teacher", "digits", *settings, "--set=store.views=2", f"--set=store.path={folder / 'store.zarr'}")
    return folder


def promised(name: str) -> list[str]:
    """Return the lines that the docstring of an example shows as its output."""
    docstring = ast.get_docstring(ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))) or ""
    return [line.strip() for line in docstring.partition("Output (")[2].splitlines()[1:] if line.strip()]


def without_numbers(line: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", line)


@pytest.mark.pages
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_loop.py", ["{home}/plain.zarr"]),
        ("own_models.py", ["{home}/models"]),
        ("zarr_alone.py", ["{home}/store.zarr"]),
    ],
)
def test_an_example_runs_and_prints_what_its_docstring_shows(home: Path, name: str, words: list[str]) -> None:
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # on a busy machine several threads wait for each other
    command: list[str | Path] = [sys.executable, EXAMPLES / name, *(word.format(home=home) for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=one_thread)
    assert done.returncode == 0, done.stderr
    printed = [without_numbers(line) for line in done.stdout.splitlines()]
    assert printed == [without_numbers(line) for line in promised(name)]


def test_every_example_is_run() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == {*("own_loop.py", "own_models.py", "zarr_alone.py")}
