"""Tables of the page as data: headings, cells with the numbers by which they sort, and rows that stand out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kcd_pipeline.reports.wording import MISSING

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell: its text, and the number by which it sorts; a cell of words has none and sorts by its text."""

    text: str
    value: float | None = None

    @property
    def missing(self) -> bool:
        """True if there is nothing to show."""
        return self.text == MISSING


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its heading, whether it holds numbers, and a longer explanation of the heading if it needs one."""

    heading: str
    number: bool = True
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row, named by its first cell.

    Attributes
    ----------
    cells
        One for each column.
    key
        Name of the arm or run whose sign stands before the first cell; empty for none.
    tag
        A word that is shown behind the first cell because the row stands out; empty for none.
    """

    cells: tuple[Cell, ...]
    key: str = ""
    tag: str = ""


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table with a caption. Its columns fit its rows; `last` are rows that stay at the end however it is sorted."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    last: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        for row in (*self.rows, *self.last):
            if len(row.cells) != len(self.columns):
                raise ValueError(f"a row of {len(row.cells)} cells in a table of {len(self.columns)} columns")

    def without_empty_columns(self) -> "PageTable":
        """Return the table without the columns in which every cell is missing."""
        filled = [
            place
            for place in range(len(self.columns))
            if any(not row.cells[place].missing for row in (*self.rows, *self.last))
        ]
        return PageTable(
            caption=self.caption,
            columns=tuple(self.columns[place] for place in filled),
            rows=tuple(_picked(row, filled) for row in self.rows),
            last=tuple(_picked(row, filled) for row in self.last),
        )


def _picked(row: Row, places: Sequence[int]) -> Row:
    return Row(cells=tuple(row.cells[place] for place in places), key=row.key, tag=row.tag)


def number(value: float | None, words: Callable[[float], str]) -> Cell:
    """Return a cell of a number as `words` writes it; a missing one for None."""
    return Cell(text=MISSING) if value is None else Cell(text=words(value), value=float(value))


def whole(value: float | None) -> Cell:
    """Return a cell of a number that is rounded to a whole one, as `29,316`."""
    return number(value, lambda known: f"{known:,.0f}")


def word(text: str | None) -> Cell:
    """Return a cell of words; a missing one for None or no words."""
    return Cell(text=text or MISSING)
