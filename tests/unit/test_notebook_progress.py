"""Progress in a notebook: one output, drawn over now and then, that stays with the last numbers."""

import sys
import types
from typing import Any

import pytest
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from kcd_pipeline.notebooks import NotebookProgress, in_notebook


class Output:
    """Stands for the output of a cell."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def display(self, data: dict[str, str], **how: Any) -> "Output":
        assert how == {"raw": True, "display_id": True}
        self.drawn.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.drawn.append(data["text/plain"])


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    found = Output()
    module = types.ModuleType("IPython.display")
    module.display = found.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return found


def test_bars_are_drawn_now_and_then_and_at_the_end(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr("kcd_pipeline.notebooks.time.monotonic", lambda: next(clock) / 100)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with NotebookProgress(*columns) as bar:
        task = bar.add_task("kd", total=500, note="")
        for _ in range(500):
            bar.advance(task)
        bar.update(task, note="test 98%")
    # the clock goes on by 10 ms at each look at it: 501 of them for the task, and one at each drawing
    assert 5 <= len(output.drawn) <= 15
    last = output.drawn[-1]
    assert last.startswith("kd ")
    assert last.endswith("500/500 test 98%")
    assert not any("\n" in text or "\x1b" in text for text in output.drawn)


def test_a_program_is_no_notebook() -> None:
    assert not in_notebook()
