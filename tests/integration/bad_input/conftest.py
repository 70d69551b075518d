"""A teacher, a store and a finished run of digits, and copies of them to be damaged."""

import shutil
from pathlib import Path

import pytest
from tests.support.bad_input import Place
from tests.support.once import made_once


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Everything made once, by the commands; tests that damage something take a copy."""

    def make(folder: Path) -> None:
        for command in ("train-teacher", "extract-teacher", "distill"):
            ended = Place(folder=folder)(command)
            assert ended.code == 0, ended.said

    whole = made_once(tmp_path_factory, "bad-input", make)
    # a copy, because commands lock what they refuse to touch
    return Place(folder=shutil.copytree(whole, tmp_path_factory.mktemp("made") / "copy"))


@pytest.fixture
def copy(made: Place, tmp_path: Path) -> Place:
    """A copy of everything, to be damaged."""
    shutil.copytree(made.folder, tmp_path / "copy")
    return Place(folder=tmp_path / "copy")


@pytest.fixture
def fresh(made: Place, copy: Place) -> Place:
    """A copy without the run, so that a distillation starts anew."""
    shutil.rmtree(copy.run)
    return copy
