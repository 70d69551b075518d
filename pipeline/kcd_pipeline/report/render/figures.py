"""The page's plots, as inline SVG. The same comparison gives the same bytes."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from matplotlib.ticker import EngFormatter, MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from kcd_pipeline.config import ValueWords
from kcd_pipeline.report.collect import RunRecord
from kcd_pipeline.report.collect.values import StageValues
from kcd_pipeline.report.compute.arms import Arm
from kcd_pipeline.report.render.svg import add_legend, make_panels, svg_style, to_svg

# Okabe and Ito's colours, which people with any of the common colour vision deficiencies can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 3)))
TEACHER_COLOUR = "#667085"
CLOSE_UP_FROM = 6  # epochs; a shorter training gets no second panel with its later part
MOST_PANELS = 3  # side by side
VALUE_BINS = 60
MOST_DOTS = 30  # on one line; more would hide it

Axis = Literal["epoch", "rows"]
Places = Sequence[Sequence[NDArray[np.float64]]]  # [arm][run][epoch]: a horizontal position


@dataclass(frozen=True, kw_only=True)
class LineStyle:
    """The colour and the dashes of a arm's lines."""

    colour: str
    dash: Any


def line_styles(arms: Sequence[Arm]) -> list[LineStyle]:
    """Return a style for each arm: arms of the same kind share a colour and differ in their dashes."""
    kinds = list(dict.fromkeys(arm.kind for arm in arms))
    seen: dict[tuple[str, str], int] = {}
    found = []
    for arm in arms:
        turn = seen[arm.kind] = seen.get(arm.kind, -1) + 1
        lap, place = divmod(kinds.index(arm.kind), len(COLOURS))  # a colour that is used again begins with dashes
        found.append(LineStyle(colour=COLOURS[place], dash=DASHES[(turn + lap) % len(DASHES)]))
    return found


def accuracy_by_epoch(arms: Sequence[Arm], teacher: float | None) -> str:
    """Plot the test accuracy after each epoch, and that of the `teacher`, 0..1, if all runs share one."""
    places = [[np.arange(1.0, run.epochs + 1) for run in arm.runs] for arm in arms]
    return _accuracy_figure("epoch", arms, places, teacher)


def accuracy_by_rows(arms: Sequence[Arm], teacher: float | None) -> str:
    """Plot the test accuracy against the knowledge rows trained on so far; samples for runs that use no knowledge."""
    places = [[_rows_so_far(run) for run in arm.runs] for arm in arms]
    return _accuracy_figure("rows", arms, places, teacher)


def _rows_so_far(run: RunRecord) -> NDArray[np.float64]:
    return np.cumsum([line["rows" if run.taught else "samples"] for line in run.metrics], dtype=np.float64)


def _accuracy_figure(axis: Axis, arms: Sequence[Arm], places: Places, teacher: float | None) -> str:
    name = f"accuracy-{axis}"
    close_up = max(arm.first.epochs for arm in arms) >= CLOSE_UP_FROM
    title = "epoch" if axis == "epoch" else "knowledge rows (or samples) trained on so far"
    labels = [_legend_label(axis, arm) for arm in arms]
    with svg_style(name):
        figure, panels = make_panels(2 if close_up else 1, 1, height=3.4, legend=labels)
        for panel in panels:
            for arm, style, xs, label in zip(arms, line_styles(arms), places, labels, strict=True):
                _draw_arm(panel, arm, style, xs, label)
            if teacher is not None:
                panel.axhline(100 * teacher, color=TEACHER_COLOUR, linewidth=1, linestyle=(0, (2, 2)), label="teacher")
            panel.set_xlabel(title)
            panel.xaxis.set_major_formatter(EngFormatter(sep="") if axis == "rows" else ScalarFormatter())
            panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panels[0].set_ylabel("test accuracy (%)")
        if close_up:
            panels[0].set_title("the whole training")
            panels[1].set_title("the later part, closer")
            _zoom_in(panels[1], arms, places, teacher)
        add_legend(figure, panels[0])
        return to_svg(figure, name, f"Test accuracy against {title}")


def _legend_label(axis: Axis, arm: Arm) -> str:
    seeds = f" (n = {len(arm.runs)})" if len(arm.runs) > 1 else ""
    return f"{arm.name}{seeds}" + ("" if axis == "epoch" or arm.first.taught else ", samples")


def _draw_arm(panel: Any, arm: Arm, style: LineStyle, xs: Sequence[NDArray[np.float64]], label: str) -> None:
    """Draw each seed as a thin line, and their mean as a thick one."""
    ys = [np.array([100 * line["test_accuracy"] for line in run.metrics]) for run in arm.runs]
    if len(ys) > 1:
        for x, y in zip(xs, ys, strict=True):
            panel.plot(x, y, color=style.colour, linestyle=style.dash, linewidth=0.7, alpha=0.45)
    marker = "o" if len(xs[0]) < CLOSE_UP_FROM else None  # a line of one epoch would not be seen
    mean_x, mean_y = np.mean(xs, axis=0), np.mean(ys, axis=0)
    panel.plot(mean_x, mean_y, color=style.colour, linestyle=style.dash, label=label, marker=marker, markersize=4)


def _zoom_in(panel: Any, arms: Sequence[Arm], places: Places, teacher: float | None) -> None:
    """Limit the axes to the training after the middle of the shortest run, and to the accuracies of the last third."""
    ends = [float(x[-1]) for xs in places for x in xs]
    inside = [] if teacher is None else [100 * teacher]
    for arm in arms:
        for run in arm.runs:
            inside += [100 * line["test_accuracy"] for line in run.metrics[2 * run.epochs // 3 :]]
    low, high = min(inside), max(inside)
    margin = max(0.08 * (high - low), 0.1)
    panel.set_xlim(min(ends) / 2, max(ends) + 0.02 * (max(ends) - min(ends) / 2))
    panel.set_ylim(low - margin, high + margin)


def kept_by_stage(arms: Sequence[Arm]) -> str:
    """Plot the share of all samples that are taught in each epoch; dots mark where it changes, unless too many."""
    labels = [arm.name for arm in arms]
    with svg_style("kept"):
        figure, (panel,) = make_panels(1, 1, height=2.9, legend=labels)
        for number, (arm, style) in enumerate(zip(arms, line_styles(arms), strict=True)):
            width = max(4.2 - 1.4 * number, 1.4)  # narrower above wider, so that all lines are seen
            share = np.array([100 * line["kept_fraction"] for line in arm.first.metrics])
            edges = np.arange(1, len(share) + 2) - 0.5
            panel.stairs(share, edges, baseline=None, color=style.colour, linestyle=style.dash, linewidth=width)
            opens = np.flatnonzero(np.diff(share, prepend=np.inf))
            opens = opens if len(opens) <= MOST_DOTS else opens[:0]
            panel.plot(edges[opens], share[opens], "o", color=style.colour, markersize=width + 3)
            panel.plot([], [], color=style.colour, linestyle=style.dash, marker="o", markersize=5, label=arm.name)
        panel.set_xlabel("epoch")
        panel.set_ylabel("samples taught (%)")
        panel.set_ylim(0, 105)
        panel.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        add_legend(figure, panel)
        return to_svg(figure, "kept", "Share of the samples taught, by stage")


def values_by_stage(
    arms: Sequence[Arm], stages: Sequence[Sequence[StageValues]], measures: Sequence[ValueWords]
) -> str:
    """Plot boxes of V(i) after each stage, one panel for each arm: 5, 25, 50, 75 and 95 percent of the samples.

    Groups whose values have the same measure have the same axis.
    """
    columns = min(len(arms), MOST_PANELS)
    rows = ceil(len(arms) / columns)
    alike = len(set(measures)) == 1
    with svg_style("values-stage"):
        figure, panels = make_panels(columns, rows, height=2.7 * rows, sharey=alike)
        drawn = zip(panels, arms, line_styles(arms), stages, measures, strict=False)
        for number, (panel, arm, style, found, measure) in enumerate(drawn):
            _draw_boxes(panel, style, [stage for stage in found if stage.quantiles])
            panel.set_ylim(*_range_of([s for s, other in zip(stages, measures, strict=True) if other == measure]))
            if not (alike and number % columns):
                panel.set_ylabel(measure.axis)
            panel.set_title(textwrap.fill(arm.name, 100 // columns))
            panel.set_xlabel("after epoch")
            panel.grid(axis="x", visible=False)
        for panel in panels[len(arms) :]:
            panel.set_visible(False)
        return to_svg(figure, "values-stage", "Distribution of the samples' values after each stage")


def _range_of(stages: Sequence[Sequence[StageValues]]) -> tuple[float, float]:
    """Return the limits of an axis that has 0 and all boxes of these stages in it."""
    ends = [stage.quantiles[end] for found in stages for stage in found if stage.quantiles for end in (0, -1)]
    lowest, highest = min([0.0, *ends]), max([0.0, *ends])
    return 1.05 * lowest, 1.05 * highest if highest > lowest else 1.0


def _draw_boxes(panel: Any, style: LineStyle, stages: Sequence[StageValues]) -> None:
    names = ("whislo", "q1", "med", "q3", "whishi")
    boxes: list[dict[str, Any]] = [
        dict(zip(names, stage.quantiles or (), strict=True)) | {"fliers": []} for stage in stages
    ]
    fill = {"facecolor": style.colour, "alpha": 0.35, "edgecolor": style.colour}
    line = {"color": style.colour, "linewidth": 1.2}
    panel.bxp(
        boxes, showfliers=False, patch_artist=True, widths=0.55,
        boxprops=fill, whiskerprops=line, capprops=line, medianprops={"color": "#101828", "linewidth": 1.5},
    )  # fmt: skip
    # bxp places the boxes at 1, 2, ...; the ticks say after which epoch each was taken
    every = max(1, ceil(len(stages) / 8))
    panel.set_xticks(range(1, len(stages) + 1, every), [str(stage.epochs[1]) for stage in stages[::every]])
    middle, half = (len(stages) + 1) / 2, max(len(stages), 3) / 2 + 0.2
    panel.set_xlim(middle - half, middle + half)


def values_at_the_end(
    arms: Sequence[Arm], values: Sequence[NDArray[np.float64]], measures: Sequence[ValueWords]
) -> str:
    """Plot the distribution of V(i) after the last epoch: the share of samples in each bin, one line for each arm.

    Each measure has a panel.
    """
    different = list(dict.fromkeys(measures))
    columns = min(len(different), MOST_PANELS)
    rows = ceil(len(different) / columns)
    with svg_style("values-end"):
        figure, panels = make_panels(columns, rows, height=2.9 * rows, legend=[arm.name for arm in arms])
        for panel, measure in zip(panels, different, strict=False):
            edges = _bins([value for value, other in zip(values, measures, strict=True) if other == measure])
            for style, value, other in zip(line_styles(arms), values, measures, strict=True):
                if other == measure:
                    share = 100 * np.histogram(value, edges)[0] / max(np.count_nonzero(~np.isnan(value)), 1)
                    panel.stairs(share, edges, color=style.colour, linestyle=style.dash, linewidth=1.6)
            panel.set_xlim(edges[0], edges[-1])
            panel.set_ylim(bottom=0)
            panel.set_xlabel(measure.axis)
        for panel in panels[::columns]:
            panel.set_ylabel("samples (%)")
        for panel in panels[len(different) :]:
            panel.set_visible(False)
        for arm, style in zip(arms, line_styles(arms), strict=True):
            panels[0].plot([], [], color=style.colour, linestyle=style.dash, linewidth=1.6, label=arm.name)
        add_legend(figure, panels[0])
        return to_svg(figure, "values-end", "Distribution of the samples' values after the last epoch")


def _bins(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the edges of bins from 0, or the smallest 1st percentile of `values` below it, to their largest 99th."""
    ends = [float(end) for v in values if not np.isnan(v).all() for end in np.nanquantile(v, (0.01, 0.99))]
    lowest, highest = min([0.0, *ends]), max([0.0, *ends])
    return np.linspace(lowest, highest if highest > lowest else 1.0, VALUE_BINS + 1)
