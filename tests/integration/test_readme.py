"""Every command of the README runs as it stands, in order, and prints what the README says.

Its two install lines are the exception: they take minutes, a network and this very suite. `.ci/run` takes them from the
README and runs them as they stand, and test_demo.py runs the demo that the first of them ends with.
"""

import pytest
from tests.documentation import ROOT, blocks_of, comparable, run

BLOCKS = blocks_of(ROOT / "README.md")
INSTALLS = [block for block in BLOCKS if block.installs]
PROJECT = [block for block in BLOCKS if not block.installs]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return run(PROJECT, tmp_path_factory.mktemp("readme"))


def test_it_begins_with_the_two_commands_that_ci_runs() -> None:
    assert BLOCKS[:2] == INSTALLS
    assert [block.command.rstrip() for block in INSTALLS] == [
        "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/kcd-pipeline demo",
        '.venv/bin/pip install -e ".[test]" && .venv/bin/pytest',
    ]


def test_a_first_project_is_five_commands() -> None:
    lines = "".join(block.command for block in PROJECT).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("kcd-pipeline ")] == [
        "train-teacher",
        "extract-teacher",
        "distill",
        "distill",
        "report",
    ]


@pytest.mark.pages
@pytest.mark.parametrize("number", range(len(PROJECT)))
def test_a_command_prints_what_the_readme_shows(outputs: list[str], number: int) -> None:
    shown = PROJECT[number].shown
    assert shown is not None
    assert comparable(outputs[number]) == comparable(shown)


def test_it_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1300
