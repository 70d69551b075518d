"""The page's plots, as inline SVG; the same comparison gives the same bytes."""

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from kcd_pipeline.report.collect.runs import RunRecord
from kcd_pipeline.report.collect.stages import StageValues
from kcd_pipeline.report.compute.groups import Group

# Okabe and Ito's colours, which people with any of the common colour deficiencies tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 3)))
GREY = "#667085"
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
    "svg.fonttype": "path",  # the page has no fonts of its own, and text laid out in one font does not fit another
    "text.parse_math": False,  # a dollar sign in the name of a run is a dollar sign
}
WIDTH = 10.4  # inches; the page scales it to its own width
CLOSE_UP_FROM = 6  # epochs below which there is nothing to look at more closely
PANELS = 3  # side by side


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a group is drawn."""

    colour: str
    dash: Any


def looks(groups: Sequence[Group]) -> list[Look]:
    """Groups of the same student and method share a colour and differ in their dashes, as far as those go."""
    kinds = list(dict.fromkeys(group.kind for group in groups))
    seen: dict[tuple[str, str], int] = {}
    found = []
    for group in groups:
        turn = seen[group.kind] = seen.get(group.kind, -1) + 1
        lap, place = divmod(kinds.index(group.kind), len(COLOURS))  # colours that come round again start dashed
        found.append(Look(colour=COLOURS[place], dash=DASHES[(turn + lap) % len(DASHES)]))
    return found


def accuracy_by_epoch(groups: Sequence[Group], teacher: float | None) -> str:
    """Test accuracy after each epoch; `teacher` is its test accuracy, 0..1, where all share one."""
    return _accuracy("epoch", groups, [[_epochs(run) for run in group.runs] for group in groups], teacher)


def accuracy_by_rows(groups: Sequence[Group], teacher: float | None) -> str:
    """Test accuracy against knowledge rows trained on so far; samples for runs that use no knowledge."""
    return _accuracy("rows", groups, [[_trained(run) for run in group.runs] for group in groups], teacher)


def _epochs(run: RunRecord) -> NDArray[np.float64]:
    return np.arange(1.0, run.epochs + 1)


def _trained(run: RunRecord) -> NDArray[np.float64]:
    return np.cumsum([line["rows" if run.taught else "samples"] for line in run.metrics], dtype=np.float64)


def _accuracy(
    axis: str, groups: Sequence[Group], places: Sequence[Sequence[NDArray[np.float64]]], teacher: float | None
) -> str:
    """`places[group][run]` are where on the horizontal axis a run's epochs lie."""
    close_up = max(group.first.epochs for group in groups) >= CLOSE_UP_FROM
    label = "epoch" if axis == "epoch" else "knowledge rows (or samples) trained on so far"
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": f"accuracy-{axis}"}):
        figure, panels = _panels(2 if close_up else 1, 1, height=3.4, legend=[_legend(axis, group) for group in groups])
        for panel in panels:
            for group, look, xs in zip(groups, looks(groups), places, strict=True):
                _draw_group(panel, group, look, xs, _legend(axis, group))
            if teacher is not None:
                panel.axhline(100 * teacher, color=GREY, linewidth=1, linestyle=(0, (2, 2)), label="teacher")
            panel.set_xlabel(label)
            panel.xaxis.set_major_formatter(
                EngFormatter(sep="") if axis == "rows" else matplotlib.ticker.ScalarFormatter()
            )
            panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panels[0].set_ylabel("test accuracy (%)")
        if close_up:
            panels[0].set_title("the whole training")
            panels[1].set_title("its later part, closer")
            _zoom(panels[1], groups, places, teacher)
        _legend_below(figure, panels[0])
        return _svg(figure, f"accuracy-{axis}", f"Test accuracy against {label}")


def _legend(axis: str, group: Group) -> str:
    seeds = f" (n = {len(group.runs)})" if len(group.runs) > 1 else ""
    return f"{group.label}{seeds}" + ("" if axis == "epoch" or group.first.taught else ", samples")


def _draw_group(panel: Any, group: Group, look: Look, xs: Sequence[NDArray[np.float64]], label: str) -> None:
    """Each seed thin, and their mean thick."""
    ys = [np.array([100 * line["test_accuracy"] for line in run.metrics]) for run in group.runs]
    if len(ys) > 1:
        for x, y in zip(xs, ys, strict=True):
            panel.plot(x, y, color=look.colour, linestyle=look.dash, linewidth=0.7, alpha=0.45)
    marker = "o" if len(xs[0]) < CLOSE_UP_FROM else None  # a line of one epoch would not be seen
    mean_x, mean_y = np.mean(xs, axis=0), np.mean(ys, axis=0)
    panel.plot(mean_x, mean_y, color=look.colour, linestyle=look.dash, label=label, marker=marker, markersize=4)


def _zoom(
    panel: Any, groups: Sequence[Group], places: Sequence[Sequence[NDArray[np.float64]]], teacher: float | None
) -> None:
    """Show the axis from the middle of the shortest run, and the accuracies that runs have in their last third."""
    ends = [float(x[-1]) for xs in places for x in xs]
    inside = [] if teacher is None else [100 * teacher]
    for group in groups:
        for run in group.runs:
            inside += [100 * line["test_accuracy"] for line in run.metrics[2 * run.epochs // 3 :]]
    low, high = min(inside), max(inside)
    room = max(0.08 * (high - low), 0.1)
    panel.set_xlim(min(ends) / 2, max(ends) + 0.02 * (max(ends) - min(ends) / 2))
    panel.set_ylim(low - room, high + room)


def kept_by_stage(groups: Sequence[Group]) -> str:
    """The share of all samples that each stage is taught on, over the epochs; a dot opens each stage."""
    labels = [group.label for group in groups]
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "kept"}):
        figure, (panel,) = _panels(1, 1, height=2.9, legend=labels)
        for number, (group, look) in enumerate(zip(groups, looks(groups), strict=True)):
            width = max(4.2 - 1.4 * number, 1.4)  # wide below narrow: lines that coincide are all seen
            share = np.array([100 * line["kept_fraction"] for line in group.first.metrics])
            edges = np.arange(1, len(share) + 2) - 0.5
            panel.stairs(share, edges, baseline=None, color=look.colour, linestyle=look.dash, linewidth=width)
            opens = np.flatnonzero(np.diff(share, prepend=np.inf))
            panel.plot(edges[opens], share[opens], "o", color=look.colour, markersize=width + 3)
            panel.plot([], [], color=look.colour, linestyle=look.dash, marker="o", markersize=5, label=group.label)
        panel.set_xlabel("epoch")
        panel.set_ylabel("samples taught (%)")
        panel.set_ylim(0, 105)
        panel.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        _legend_below(figure, panel)
        return _svg(figure, "kept", "Share of the samples taught, by stage")


def values_by_stage(groups: Sequence[Group], stages: Sequence[Sequence[StageValues]]) -> str:
    """Boxes of V(i) at the end of each stage, one panel a group: 5, 25, 50, 75 and 95 percent of the samples."""
    columns = min(len(groups), PANELS)
    rows = ceil(len(groups) / columns)
    tops = [stage.quantiles[-1] for found in stages for stage in found if stage.quantiles]
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "values-stage"}):
        figure, panels = _panels(columns, rows, height=2.7 * rows, sharey=True)
        for panel, group, look, found in zip(panels, groups, looks(groups), stages, strict=False):
            _boxes(panel, look, [stage for stage in found if stage.quantiles])
            panel.set_title(textwrap.fill(group.label, 100 // columns))
            panel.set_xlabel("after epoch")
            panel.grid(axis="x", visible=False)
        for panel in panels[::columns]:
            panel.set_ylabel("value V (nats)")
        for panel in panels[len(groups) :]:
            panel.set_visible(False)
        panels[0].set_ylim(0, 1.05 * max(tops, default=1.0) or 1.0)
        return _svg(figure, "values-stage", "Distribution of the samples' values at the end of each stage")


def _boxes(panel: Any, look: Look, stages: Sequence[StageValues]) -> None:
    names = ("whislo", "q1", "med", "q3", "whishi")
    boxes: list[dict[str, Any]] = [
        dict(zip(names, stage.quantiles or (), strict=True)) | {"fliers": []} for stage in stages
    ]
    fill = {"facecolor": look.colour, "alpha": 0.35, "edgecolor": look.colour}
    line = {"color": look.colour, "linewidth": 1.2}
    panel.bxp(
        boxes, showfliers=False, patch_artist=True, widths=0.55,
        boxprops=fill, whiskerprops=line, capprops=line, medianprops={"color": "#101828", "linewidth": 1.5},
    )  # fmt: skip
    # the boxes' places are numbers to bxp: what they mean is the epoch after which each was taken
    every = max(1, ceil(len(stages) / 8))
    panel.set_xticks(range(1, len(stages) + 1, every), [str(stage.epochs[1]) for stage in stages[::every]])
    middle, half = (len(stages) + 1) / 2, max(len(stages), 3) / 2 + 0.2
    panel.set_xlim(middle - half, middle + half)


def values_at_the_end(groups: Sequence[Group], values: Sequence[NDArray[np.float64]]) -> str:
    """The distribution of V(i) after the last epoch, one line a group: the share of samples in each step of value."""
    seen = [value[~np.isnan(value)] for value in values]
    top = max((float(np.quantile(value, 0.99)) for value in seen if len(value)), default=1.0) or 1.0
    edges = np.linspace(0, top, 61)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "values-end"}):
        figure, (panel,) = _panels(1, 1, height=2.9, legend=[group.label for group in groups])
        for group, look, value in zip(groups, looks(groups), seen, strict=True):
            share = 100 * np.histogram(value, edges)[0] / max(len(value), 1)
            panel.stairs(share, edges, color=look.colour, linestyle=look.dash, linewidth=1.6, label=group.label)
        panel.set_xlim(0, top)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("value V (nats)")
        panel.set_ylabel("samples (%)")
        _legend_below(figure, panel)
        return _svg(figure, "values-end", "Distribution of the samples' values after the last epoch")


def _panels(
    columns: int, rows: int, *, height: float, legend: Sequence[str] = (), sharey: bool = False
) -> tuple[Figure, list[Any]]:
    """A figure of `columns` x `rows` panels, `height` inches high without the lines of its legend."""
    lines = ceil(len(legend) / _legend_columns(legend)) if legend else 0
    figure = Figure(figsize=(WIDTH, height + 0.21 * lines), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)


def _legend_columns(labels: Sequence[str]) -> int:
    """One line if it fits, else as many columns of the widest as fit: by the width of an average letter, in inches."""
    widths = [0.07 * len(label) + 0.7 for label in labels]
    return len(labels) if sum(widths) <= WIDTH else max(1, int(WIDTH / max(widths)))


def _legend_below(figure: Figure, panel: Any) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=_legend_columns(labels), handlelength=2.6)


def _svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an `<svg>` element whose ids start with `name`, so that no two figures of a page share one."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]  # no XML prolog and no DOCTYPE inside HTML
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would reach the whole page
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    size = re.compile(r' width="[\d.]+pt" height="[\d.]+pt"')
    return size.sub(f' role="img" aria-label="{title}"', text, count=1)
