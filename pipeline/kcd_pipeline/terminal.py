"""Tables and lines on standard output, as wide as the terminal, or uncut where a file or a pipe takes them."""

import codecs
import io
import sys
import unicodedata
from collections.abc import Callable
from contextlib import redirect_stdout

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kcd_pipeline.plain_text import shown, shown_in_line

UNCUT_WIDTH = 10_000  # characters: wide enough that nothing is folded

# what stands for characters of our own where an encoding lacks them
PLAIN = {
    "ε": "eps", "×": "x", "·": "*", "★": "*", "±": "+-", "≤": "<=", "≥": ">=",
    "→": "->", "–": "-", "—": "-", "…": "...", "─": "-", "└": "+", "├": "+",
}  # fmt: skip


def take_all_characters() -> None:
    """Let standard output and error take every text, plainer where their encoding lacks its characters."""
    codecs.register_error("plainer", _plainer)
    _take_texts_whole()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainer")


def _take_texts_whole() -> None:
    """Put a buffer before a standard output that has none, as with PYTHONUNBUFFERED.

    Without one, Python loses the rest of a text of which a disk that fills up took only a part, and says nothing.
    """
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, io.RawIOBase) and sys.__stdout__ is stream:
        sys.stdout = open(stream.fileno(), "w", buffering=1, encoding=stream.encoding, closefd=False)  # noqa: SIM115  # a stream for the whole process


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the characters that an encoding lacks: e for `é`, <= for `≤`, or else a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or _without_accent(letter) for letter in lacking), error.end


def _without_accent(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


class PlainTable(Table):
    """A table in the style of this program; its cells are text that may come from outside, never markup."""

    def __init__(self) -> None:
        super().__init__(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)

    def add_text_row(self, *cells: str | Text) -> None:
        """Add a row of cells, each in one line."""
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        self.add_row(*(Text(shown_in_line(text.plain), style=text.style) for text in texts))


def new_table() -> PlainTable:
    """Return an empty table."""
    return PlainTable()


def _console(width: int | None = None) -> Console:
    """Return a console that writes to standard output; also in a notebook, for which rich has another way."""
    plain = isinstance(sys.stdout, _PlainText)
    return Console(highlight=False, width=width, force_jupyter=False, force_terminal=False if plain else None)


class _PlainText(io.StringIO):
    """Takes plain text, whatever the environment says of the terminal, as that of a notebook does."""


def printed(show: Callable[[], None]) -> str:
    """Return what `show` prints on standard output, as plain lines without blanks at their ends."""
    text = _PlainText()
    with redirect_stdout(text):
        show()
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def print_table(table: Table) -> None:
    """Print a table, folded to the terminal, or at its full width where there is none.

    On a terminal that is too narrow for its longest words, each row is printed as lines of a heading and a value.
    """
    console = _console()
    if not console.is_terminal:  # rich would cut to 80 columns, and a log would get half of each line
        console = _console(width=UNCUT_WIDTH)
    if Measurement.get(console, console.options.update(width=UNCUT_WIDTH), table).minimum <= console.width:
        console.print(table)
        return
    for row in zip(*(column.cells for column in table.columns), strict=True):
        console.print()
        for column, cell in zip(table.columns, row, strict=True):
            console.print(Text(f"{column.header} {cell}".strip()), soft_wrap=True)
    if table.caption:
        console.print(table.caption)


def natural_width(console: Console, table: Table) -> int:
    """Return the characters that `table` takes when nothing is cut or folded."""
    return Measurement.get(console, console.options.update(width=UNCUT_WIDTH), table).maximum


def print_line(text: str, style: str = "") -> None:
    """Print a line, or several, which only the terminal may wrap."""
    _console().print(Text(shown(text), style=style), soft_wrap=True)
