"""The notebook in examples/ runs from its first cell to its last, and its progress does not flood it."""

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
STAGES = {"train_teacher": 1, "extract_teacher": 1, "for method in": 3, "student=student": 1}  # words of a cell: stages
SECONDS = 300  # of a cell, on a busy machine


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The cells of the notebook after they were run in an empty folder."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    folder = str(tmp_path_factory.mktemp("notebook"))
    client = nbclient.NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": folder}})
    return [cell for cell in client.execute().cells if cell.cell_type == "code"]


@pytest.mark.pages
def test_every_cell_runs_and_shows_something_but_nothing_that_looks_wrong(executed: list[Any]) -> None:
    for cell in executed[1:]:  # the first one imports
        assert cell.outputs, cell.source
    streams = [output for cell in executed for output in cell.outputs if output.output_type == "stream"]
    assert not streams, streams


@pytest.mark.pages
def test_each_stage_leaves_one_line_of_its_progress(executed: list[Any]) -> None:
    for words, stages in STAGES.items():
        (cell,) = [cell for cell in executed if words in cell.source]
        shown = [output.data["text/plain"] for output in cell.outputs if output.output_type == "display_data"]
        assert len(shown) == stages, shown
        assert all("━" in text and "\n" not in text and "\x1b" not in text for text in shown), shown


@pytest.mark.pages
def test_charts_and_tables_are_shown_by_any_front_end(executed: list[Any]) -> None:
    kinds = [output.get("data", {}).keys() for cell in executed for output in cell.outputs]
    for kind, least in (("image/svg+xml", 2), ("image/png", 3), ("text/html", 2)):
        assert sum(kind in found for found in kinds) >= least, kind


def test_the_notebook_as_it_is_read_has_its_outputs_and_no_error() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert len(outputs) > 10
    assert all(output.output_type != "error" for output in outputs)
    assert NOTEBOOK.stat().st_size < 300_000, "a large notebook is slow to read: draw less, or smaller"
