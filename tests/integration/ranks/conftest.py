"""Ranks come from a fork server that has torch loaded, with the variables that torchrun sets."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.forks import forks
from tests.support.ranks import Launch, Together, settings

from kcd_pipeline.config import load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.teacher import train_teacher


@pytest.fixture(scope="module")
def context() -> Any:
    return forks()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained teacher and a whole store."""
    folder = tmp_path_factory.mktemp("ranks")
    config = load_config("digits", [argument.removeprefix("--set=") for argument in settings(folder, "none")[1:]])
    train_teacher(config)
    extract_teacher(config)
    return folder


@pytest.fixture
def launch(context: Any, home: Path) -> Launch:
    return lambda ranks, arguments, **variables: Together(context, home, ranks, arguments, **variables)
