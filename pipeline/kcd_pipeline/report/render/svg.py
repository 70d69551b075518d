"""Drawing figures as inline SVG: the style, panels with a legend below them, and markup that a page can hold."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import matplotlib
from matplotlib.figure import Figure

STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#98a2b3",
    "axes.labelcolor": "#344054",
    "text.color": "#344054",
    "xtick.color": "#344054",
    "ytick.color": "#344054",
    "axes.grid": True,
    "grid.color": "#eaecf0",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",  # the page brings no fonts, and text laid out in one font does not fit in another
    "text.parse_math": False,  # a dollar sign in the name of a run is a dollar sign
}
WIDTH = 10.4  # inches; the page scales it to its own width
LEGEND_LINE_HEIGHT = 0.21  # inches


@contextmanager
def svg_style(name: str) -> Iterator[None]:
    """Draw in the style of the page; `name` makes the ids in the figure the same each time it is drawn."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        yield


def make_panels(
    columns: int, rows: int, *, height: float, legend: Sequence[str] = (), sharey: bool = False
) -> tuple[Figure, list[Any]]:
    """Return a figure and its `columns` x `rows` panels; it is `height` inches high, and higher for a `legend`."""
    lines = ceil(len(legend) / _legend_columns(legend)) if legend else 0
    figure = Figure(figsize=(WIDTH, height + LEGEND_LINE_HEIGHT * lines), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)


def add_legend(figure: Figure, panel: Any) -> None:
    """Put the legend of `panel` below all panels."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=_legend_columns(labels), handlelength=2.6)


def _legend_columns(labels: Sequence[str]) -> int:
    """Return the number of columns of a legend: all labels in one line if they fit, else as many as the widest allows.

    Widths are estimated from the width of an average letter.
    """
    widths = [0.07 * len(label) + 0.7 for label in labels]  # inches
    return len(labels) if sum(widths) <= WIDTH else max(1, int(WIDTH / max(widths)))


def to_svg(figure: Figure, name: str, title: str) -> str:
    """Return the figure as an `<svg>` element; its ids start with `name`, so that no two figures share one."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]  # HTML allows no XML prolog and no DOCTYPE here
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # its rules would apply to the whole page
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    size = re.compile(r' width="[\d.]+pt" height="[\d.]+pt"')
    return size.sub(f' role="img" aria-label="{title}"', text, count=1)
