"""Every command of the tutorial runs as it stands, in order, and prints what the page says."""

import json
from pathlib import Path

import pytest
from tests.documentation import ROOT, blocks_of, comparable, run

pytestmark = pytest.mark.pages

BLOCKS = blocks_of(ROOT / "docs" / "tutorial.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


@pytest.fixture(scope="module")
def outputs(folder: Path) -> list[str]:
    return run(BLOCKS, folder)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_command_prints_what_the_page_shows(outputs: list[str], number: int) -> None:
    shown = BLOCKS[number].shown
    if shown is not None:
        assert comparable(outputs[number]) == comparable(shown)


def test_the_page_shows_what_most_of_its_commands_print() -> None:
    assert not any(block.installs for block in BLOCKS)
    assert sum(block.shown is not None for block in BLOCKS) >= 8


@pytest.mark.usefixtures("outputs")
def test_the_folder_is_as_the_page_says(folder: Path) -> None:
    assert len(list(folder.glob("pictures/train/*/*.png"))) == 1437
    assert "</html>" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("outputs")
def test_the_study_ends_with_a_page_and_its_results(folder: Path) -> None:
    made = folder / "runs/studies/question"
    assert "</html>" in (made / "report.html").read_text(encoding="utf-8")
    results = json.loads((made / "study.json").read_text(encoding="utf-8"))
    assert [(pair["first"], pair["second"], pair["seeds"]) for pair in results["pairs"]] == [
        ("kd", "none", [0, 1, 2]),
        ("kcd", "kd", [0, 1, 2]),
    ]
