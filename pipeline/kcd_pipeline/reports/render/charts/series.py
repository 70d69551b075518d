"""The course of arms by epoch: means over seeds with their intervals, at not too many epochs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcd_pipeline.reports.collect import UnfinishedRun, epoch_accuracy
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts.spec import Rows
from kcd_pipeline.statistics import t_interval

MOST_POINTS = 3_000  # in one chart; a browser draws more of them only slowly
MOST_MARKS = 8  # shapes on one line; more would hide it


def by_epoch(arms: Sequence[Arm]) -> Rows:
    """Return a row for each arm and epoch, or for epochs at even distances if they are too many.

    The fields are `arm`, its number; `epoch`, from 1; `seeds`, the number of runs; `accuracy` in percent, `loss` and
    `kept` in percent: means over the runs, each but the last with the ends of its 95% interval, `_low` and `_high`,
    where it has one; and `marked`, true for the few epochs at which the line has a point.
    """
    most = max(2, MOST_POINTS // max(len(arms), 1))
    return [row for number, arm in enumerate(arms) for row in _course(number, arm, most)]


def _course(number: int, arm: Arm, most: int) -> Rows:
    epochs = spread(max(run.epochs for run in arm.runs), most)
    marks = {epochs[place] for place in spread(len(epochs), MOST_MARKS)}
    rows = []
    for epoch in epochs:
        lines = [run.metrics[epoch] for run in arm.runs if epoch < run.epochs]
        row = {"arm": number, "epoch": epoch + 1, "seeds": len(lines), "marked": epoch in marks}
        row |= mean_and_ends("accuracy", [100 * epoch_accuracy(line) for line in lines], digits=2)
        if all("loss" in line for line in lines):
            row |= mean_and_ends("loss", [line["loss"] for line in lines], digits=4)
        kept = float(np.mean([100 * line["kept_fraction"] for line in lines]))
        rows.append(row | {"kept": round(kept, 2)})
    return rows


def mean_and_ends(field: str, values: Sequence[float], *, digits: int) -> dict[str, Any]:
    """Return the mean of `values` as `field`, with the ends of its 95% interval if there is one, rounded."""
    interval = t_interval(values)
    found = {field: round(interval.mean, digits)}
    if interval.low is not None and interval.high is not None:
        found |= {f"{field}_low": round(interval.low, digits), f"{field}_high": round(interval.high, digits)}
    return found


def going_on(runs: Sequence[UnfinishedRun]) -> Rows:
    """Return a row for each epoch that an unfinished run has done: `run`, its name, `epoch` and `accuracy`."""
    most = max(2, MOST_POINTS // max(len(runs), 1))
    return [
        {"run": run.label, "epoch": epoch + 1, "accuracy": round(100 * epoch_accuracy(run.metrics[epoch]), 2)}
        for run in runs
        for epoch in spread(len(run.metrics), most)
    ]


def spread(count: int, most: int) -> list[int]:
    """Return the numbers from 0 to `count - 1`, or `most` of them at even distances with both ends among them."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, min(count, most)).round())] if count else []
