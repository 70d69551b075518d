"""Output where the encoding lacks characters, and on a narrow terminal: plainer, and never an error."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kcd_pipeline import progress, terminal
from kcd_pipeline.terminal import new_table, print_line, print_table, take_all_characters


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The output of a terminal of 40 columns."""
    output = io.StringIO()
    monkeypatch.setattr(
        terminal, "Console", lambda **_: Console(file=output, width=40, force_terminal=True, color_system=None)
    )
    return output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_text_can_be_printed_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    take_all_characters()
    text = "ε ≤ 0.3 × é → 日 \udcff 😀…"
    print(text)
    print(text, file=sys.stderr)
    print_line(text)
    table = new_table()
    table.add_column("ε")
    table.add_text_row(text)
    print_table(table)
    for stream in streams.values():
        stream.flush()
        written = stream.buffer.getvalue().decode(encoding)
        assert "0.3" in written
        if encoding == "ascii":
            assert written.startswith("eps <= 0.3 x e -> ? ? ?...\n")


def test_a_table_that_is_too_wide_is_printed_row_by_row(narrow: io.StringIO) -> None:
    table = new_table()
    for heading in ("stage", "samples", "newly dropped", "score at the cut", "largest"):
        table.add_column(heading, no_wrap=True)
    table.add_text_row("1", "1,437", "–", "0.123456", "0.3")
    table.add_text_row("2", "1,005", "432", "0.234567", "0.3")
    print_table(table)
    assert "samples 1,437\n" in narrow.getvalue()
    assert "score at the cut 0.234567\n" in narrow.getvalue()
    assert "…" not in narrow.getvalue()


def test_a_table_that_fits_stays_a_table(narrow: io.StringIO) -> None:
    table = new_table()
    table.add_column("model")
    table.add_column("parameters")
    table.add_text_row("resnet8", "78,042")
    print_table(table)
    assert "model" in narrow.getvalue().splitlines()[1]
    assert "parameters" in narrow.getvalue().splitlines()[1]


@pytest.mark.parametrize(("width", "shown"), [(40, "extracting 200/400"), (100, "img/s")])
def test_a_bar_shows_what_there_is_room_for(width: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=output, width=width, force_terminal=True, color_system=None))
    with progress.progress_bar() as bar:
        task = bar.add_task("extracting", total=400, note="view 1/2", unit="img")
        bar.advance(task, 100)
        bar.advance(task, 100)
    assert shown in output.getvalue()
    assert "…" not in output.getvalue()
    assert ("view 1/2" in output.getvalue()) == (width == 100)


def test_a_bar_within_a_bar_is_shown_beside_it_and_goes_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=output, width=100, force_terminal=True, color_system=None))
    with progress.progress_bar() as bar:
        bar.add_task("kcd epoch 3/6", total=10, note="", unit="img")
        with progress.progress_bar() as inner:
            inner.add_task("judging blends", total=20, note="view 1/2", unit="rows")
            inner.refresh()
        assert [task.description for task in bar.tasks] == ["kcd epoch 3/6"]
        assert "judging blends" in output.getvalue()
    with progress.progress_bar() as later:
        assert later is not bar


def test_output_that_a_disk_takes_a_part_of_is_an_error_without_pythons_buffer_too(tmp_path: Path) -> None:
    # as on a disk that fills up: of one write the system takes what is within the limit, and refuses the next
    program = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from kcd_pipeline.terminal import take_all_characters
take_all_characters()
sys.stdout.write("x" * 60_000 + "\\n")
"""
    with (tmp_path / "output").open("w") as output:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, check=False, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    assert (tmp_path / "output").stat().st_size == 4096
    assert ended.returncode == 1
    assert "OSError: [Errno 27]" in ended.stderr
