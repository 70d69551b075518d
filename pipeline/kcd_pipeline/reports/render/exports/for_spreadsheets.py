"""The exported table as CSV (RFC 4180): bare numbers, their units in the names of the columns."""

import csv
import io
from typing import Any

from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.compute.pairs import PairResult
from kcd_pipeline.reports.render.exports.lines import Line, lines_of

DECIMALS = 6  # of percent, points and seconds: more than any test set resolves


def as_csv(comparison: Comparison) -> str:
    """Return the table with a line of headings; a cell is empty where there is no number.

    Accuracies are in percent, differences in points of them, and intervals are of 95%. Metrics of the user's own
    are the last columns, each under the name that the runs record it by.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    lines, metrics = list(lines_of(comparison)), list(comparison.metric_headings)
    writer.writerow([*_cells(lines[0]), *metrics])
    writer.writerows([*_cells(line).values(), *map(line.arm.mean_of_metric, metrics)] for line in lines)
    return text.getvalue()


def _cells(line: Line) -> dict[str, Any]:
    arm = line.arm
    return {
        "student": arm.first.student,
        "arm": arm.name,
        "seeds": len(arm.runs),
        "accuracy_percent": _percent(arm.mean_accuracy),
        "deviation_percent": _percent(arm.deviation),
        "low_percent": _percent(arm.interval.low),
        "high_percent": _percent(arm.interval.high),
        **_cells_of_pair(line.pair),
        "rows": _rounded(arm.mean_rows),
        "samples": _rounded(arm.mean_samples),
        "seconds": _rounded(arm.mean_seconds),
        "parameters": line.parameters,
        "multiply_adds": line.multiply_adds,
    }


def _cells_of_pair(pair: PairResult | None) -> dict[str, Any]:
    difference = None if pair is None else pair.difference
    return {
        "compared_with": None if pair is None else pair.second.name,
        "budget": None if pair is None else pair.budget,
        "common_seeds": None if pair is None else len(pair.seeds),
        "difference_points": None if difference is None else _rounded(difference.mean),
        "difference_low_points": None if difference is None else _rounded(difference.low),
        "difference_high_points": None if difference is None else _rounded(difference.high),
        "p_holm": None if pair is None else pair.p_holm,
        "ahead": None if difference is None or pair is None else str(pair.ahead).lower(),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else _rounded(100 * fraction)


def _rounded(number: float | None) -> float | None:
    """Return a number without the digits that its rounding left, and a whole one without decimals."""
    if number is None:
        return None
    rounded = round(number, DECIMALS)
    return int(rounded) if rounded == int(rounded) else rounded
