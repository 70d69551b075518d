"""Tables and lines on standard output, as wide as the terminal, or uncut where a file or a pipe takes them."""

import codecs
import io
import sys
import unicodedata

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kcd_pipeline.plain_text import shown, shown_in_line

UNCUT_WIDTH = 10_000  # characters: wide enough that nothing is folded

PLAIN = {"ε": "eps", "×": "x", "·": "*", "→": "->", "–": "-", "—": "-", "…": "...", "≤": "<=", "≥": ">=", "±": "+-"}


def take_all_characters() -> None:
    """Let standard output and error take every text, plainer where their encoding lacks its characters."""
    codecs.register_error("plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainer")


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the characters that an encoding lacks: `é` as e, `≤` as <=, any other as a question mark."""
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


def print_table(table: Table) -> None:
    """Print a table, folded to the terminal, or at its full width where there is none."""
    console = Console(highlight=False)
    if not console.is_terminal:  # rich would cut to 80 columns, and a log would get half of each line
        console = Console(highlight=False, width=UNCUT_WIDTH)
    console.print(table)


def natural_width(console: Console, table: Table) -> int:
    """Return the characters that `table` takes when nothing is cut or folded."""
    return Measurement.get(console, console.options.update(width=UNCUT_WIDTH), table).maximum


def print_line(text: str, style: str = "") -> None:
    """Print a line, or several, which only the terminal may wrap."""
    Console(highlight=False).print(Text(shown(text), style=style), soft_wrap=True)
