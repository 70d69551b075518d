"""A chart: its Vega-Lite specification, the sentence that says what is seen in it, and its numbers as a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of a chart as a table of texts, for those who cannot or would rather not look at the chart.

    Attributes
    ----------
    headings
        One for each column.
    rows
        One text for each column.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if uneven := [row for row in self.rows if len(row) != len(self.headings)]:
            raise ValueError(f"each row has {len(self.headings)} cells, as there are headings, found {uneven[0]}")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the things that a chart shows one at a time: an arm, or a measure of values.

    Attributes
    ----------
    number
        The value of the chart's parameter `chosen`.
    name
        The name to choose by.
    finding
        The text alternative of the chart while this is shown.
    """

    number: int
    name: str
    finding: str

    def __iter__(self) -> Iterator[int | str]:
        """Return number and name, from which a template makes an option."""
        return iter((self.number, self.name))


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart.

    Attributes
    ----------
    name
        Letters, digits and hyphens; unique among the charts of a page.
    heading
        The chart's title.
    finding
        A sentence that says what is seen: the text alternative.
    spec
        A Vega-Lite specification without colours of its own, with its data under `datasets`.
    numbers
        The numbers that are drawn, as a table.
    choices
        What is shown one at a time, the first one to begin with; empty if all is shown together.
    """

    name: str
    heading: str
    finding: str
    spec: dict[str, Any]
    numbers: Numbers
    choices: tuple[Choice, ...] = ()
