"""Charts of the samples' values V(i), of one measure at a time: values of different ones cannot be compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import ValueWords, value_words
from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.collect.values import QUANTILES
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts.chart import Chart, Choice, Numbers
from kcd_pipeline.reports.render.charts.spec import (
    NAME,
    Look,
    Part,
    Rows,
    across,
    band,
    band_words,
    end,
    epochs,
    hints,
    measured,
    overlay,
)

VALUE_BINS = 60
QUANTILE_FIELDS = tuple(f"p{100 * share:.0f}" for share in QUANTILES)  # p5, p25, p50, p75, p95
QUANTILE_TITLES = tuple("median" if share == 0.5 else f"{100 * share:.0f}th percentile" for share in QUANTILES)

Visited = dict[int, RunDetails]  # details by the arm's number, of arms whose first run visited a sample


def values_charts(arms: Sequence[Arm], details: Sequence[RunDetails]) -> list[Chart]:
    """Return the chart of the values' quantiles by stage, and that of their distribution after the last epoch."""
    by_measure: dict[ValueWords, Visited] = {}
    for number, found in enumerate(details):
        if not np.isnan(found.values).all():
            by_measure.setdefault(value_words(found.measure), {})[number] = found
    return [_by_stage(arms, by_measure), _at_the_end(arms, by_measure)] if by_measure else []


def _by_stage(arms: Sequence[Arm], by_measure: dict[ValueWords, Visited]) -> Chart:
    rows: Rows = [
        {"choice": choice, "arm": number, "epoch": stage.epochs[1]}
        | {field: rounded(value) for field, value in zip(QUANTILE_FIELDS, stage.quantiles, strict=True)}
        for choice, own in enumerate(by_measure.values())
        for number, found in own.items()
        for stage in found.stage_values
        if stage.quantiles is not None
    ]
    look, x, y = Look(arms), epochs("last epoch of the stage"), measured("p50", _axis(by_measure))
    quantiles = tuple(zip(QUANTILE_FIELDS, QUANTILE_TITLES, strict=True))
    layers: list[Part] = [
        {
            "mark": band(0.12, arms),
            "encoding": {"x": x, "y": y | {"field": "p25"}, "y2": end("p75"), "color": look.colour},
        },
        {"mark": "line", "encoding": {"x": x, "y": y, "color": look.colour, "strokeDash": look.dash}},
        {
            "mark": {"type": "point", "filled": True, "size": 50, "opacity": 1},
            "transform": [NAME],
            "encoding": {
                "x": x, "y": y, "color": look.colour, "shape": look.shape,
                "tooltip": hints((("name", "arm"), ("epoch", "last epoch of the stage"), *quantiles)),
            },
        },
    ]  # fmt: skip
    choices = _choices(arms, by_measure, f"Bands hold the middle half of the samples{band_words(arms)}.")
    return Chart(
        name="values-stage",
        heading="Values by stage",
        finding=choices[0].finding,
        spec=overlay(layers, arms, {"values-stage": rows}, chosen=0),
        numbers=Numbers(
            headings=("measure", "arm", "last epoch of the stage", *QUANTILE_TITLES),
            rows=tuple(
                (
                    choices[row["choice"]].name, arms[row["arm"]].name, str(row["epoch"]),
                    *(f"{row[field]:.4g}" for field in QUANTILE_FIELDS),
                )
                for row in rows
            ),
        ),
        choices=choices if len(choices) > 1 else (),
    )  # fmt: skip


def _axis(by_measure: dict[ValueWords, Visited]) -> str:
    """Return the title of an axis of values, with the measure if there is only one."""
    return next(iter(by_measure)).axis if len(by_measure) == 1 else "value V"


def _choices(arms: Sequence[Arm], by_measure: dict[ValueWords, Visited], remark: str) -> tuple[Choice, ...]:
    return tuple(
        Choice(number=choice, name=words.name, finding=f"{_medians(arms, words, own)} {remark}")
        for choice, (words, own) in enumerate(by_measure.items())
    )


def _medians(arms: Sequence[Arm], words: ValueWords, own: Visited) -> str:
    """Return a sentence on the lowest and the highest median after the last epoch."""
    medians = {number: float(np.nanmedian(found.values)) for number, found in own.items()}
    low, high = min(medians, key=lambda number: medians[number]), max(medians, key=lambda number: medians[number])
    start = f"After the last epoch, the median value ({words.name})"
    if medians[low] == medians[high]:
        return f"{start} is {medians[low]:.3g} for {arms[low].name if len(own) == 1 else 'every arm'}."
    return (
        f"{start} is lowest for {arms[low].name}, {medians[low]:.3g}, and highest for {arms[high].name}, "
        f"{medians[high]:.3g}."
    )


def rounded(value: float) -> float:
    """Return a value with four significant digits."""
    return float(f"{value:.4g}")


def _at_the_end(arms: Sequence[Arm], by_measure: dict[ValueWords, Visited]) -> Chart:
    rows: Rows = []
    for choice, own in enumerate(by_measure.values()):
        edges = bins([found.values for found in own.values()])
        for number, found in own.items():
            share = 100 * np.histogram(found.values, edges)[0] / np.count_nonzero(~np.isnan(found.values))
            ends = zip(edges[:-1], edges[1:], share, strict=True)
            rows += [{"choice": choice, "arm": number, **_bin(*each)} for each in ends]
    look, y = Look(arms), measured("share", "samples (%)", zero=True)
    x = across("from", _axis(by_measure)) | {"scale": {"nice": False, "zero": False}}
    seen = (("name", "arm"), ("from", "value from"), ("to", "value to"), ("share", "samples (%)"))
    layers: list[Part] = [
        {
            "mark": {"type": "line", "interpolate": "step-after"},
            "encoding": {"x": x, "y": y, "color": look.colour, "strokeDash": look.dash},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 50, "opacity": 0},
            "transform": [NAME],
            "encoding": {"x": x, "y": y, "color": look.colour, "tooltip": hints(seen)},
        },
    ]
    choices = _choices(arms, by_measure, f"Each of {VALUE_BINS} bins has its share of the samples.")
    return Chart(
        name="values-end",
        heading="Values after the last epoch",
        finding=choices[0].finding,
        spec=overlay(layers, arms, {"values-end": rows}, height=260, chosen=0),
        numbers=Numbers(
            headings=("measure", "arm", "value from", "value to", "samples (%)"),
            rows=tuple(
                (
                    choices[row["choice"]].name, arms[row["arm"]].name, f"{row['from']:.4g}", f"{row['to']:.4g}",
                    f"{row['share']:.2f}",
                )
                for row in rows
            ),
        ),
        choices=choices if len(choices) > 1 else (),
    )  # fmt: skip


def _bin(low: float, high: float, share: float) -> dict[str, Any]:
    return {"from": rounded(low), "to": rounded(high), "share": round(float(share), 2)}


def bins(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the edges of bins from 0, or the smallest 1st percentile of `values` below it, to their largest 99th.

    In each of `values`, a sample was visited; samples that were not are NaN.
    """
    ends = [float(quantile) for each in values for quantile in np.nanquantile(each, (0.01, 0.99))]
    lowest, highest = min(0.0, *ends), max(0.0, *ends)
    return np.linspace(lowest, highest if highest > lowest else 1.0, VALUE_BINS + 1)
