"""Tables and lines on standard output, as wide as the terminal, or uncut where a file or a pipe takes them."""

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kcd_pipeline.plain_text import shown, shown_in_line

UNCUT_WIDTH = 10_000  # characters: wide enough that nothing is folded


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
