"""Charts of the samples' values V(i), one for each measure, since values of different measures cannot be compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import ValueWords, value_words
from kcd_pipeline.report.collect.details import RunDetails
from kcd_pipeline.report.collect.values import QUANTILES
from kcd_pipeline.report.compute.arms import Arm
from kcd_pipeline.report.render.charts.chart import Chart, Numbers
from kcd_pipeline.report.render.charts.spec import NAME, Look, Part, Rows, end, epochs, hints, measured, overlay

VALUE_BINS = 60
QUANTILE_FIELDS = tuple(f"p{100 * share:.0f}" for share in QUANTILES)  # p5, p25, p50, p75, p95


def values_charts(arms: Sequence[Arm], details: Sequence[RunDetails]) -> list[Chart]:
    """Return, for each measure of values, the chart of their quantiles by stage and of their distribution at the end."""
    found = []
    for measure in dict.fromkeys(found.measure for found in details):
        words = value_words(measure)
        own = {number: each for number, each in enumerate(details) if each.measure == measure}
        rows = [row for number, each in own.items() for row in _stage_rows(number, each)]
        if rows:
            found += [_by_stage(arms, rows, measure, words), _at_the_end(arms, own, measure, words)]
    return found


def _stage_rows(number: int, details: RunDetails) -> Rows:
    return [
        {"arm": number, "epoch": stage.epochs[1]}
        | {field: rounded(value) for field, value in zip(QUANTILE_FIELDS, stage.quantiles, strict=True)}
        for stage in details.stage_values
        if stage.quantiles is not None
    ]


def rounded(value: float) -> float:
    """Return a value with four significant digits."""
    return float(f"{value:.4g}")


def _by_stage(arms: Sequence[Arm], rows: Rows, measure: str, words: ValueWords) -> Chart:
    look, x, y = Look(arms), epochs("last epoch of the stage"), measured("p50", words.axis)
    quantiles = tuple(zip(QUANTILE_FIELDS, _quantile_titles(), strict=True))
    layers: list[Part] = [
        {
            "mark": {"type": "area", "opacity": 0.12},
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
    last = {row["arm"]: row["p50"] for row in rows}
    low, high = min(last, key=lambda arm: last[arm]), max(last, key=lambda arm: last[arm])
    finding = f"After the last epoch, the median value of {arms[low].name} is {last[low]:.3g}"
    if low != high:
        finding = (
            f"After the last epoch, the median value is lowest for {arms[low].name} ({last[low]:.3g}) and highest for "
            f"{arms[high].name} ({last[high]:.3g})"
        )
    return Chart(
        name=f"values-stage-{measure}",
        heading=f"Values by stage ({words.name})",
        finding=f"{finding}; bands hold the middle half of the samples.",
        spec=overlay(layers, arms, {f"values-stage-{measure}": rows}),
        numbers=Numbers(
            headings=("arm", "last epoch of the stage", *_quantile_titles()),
            rows=tuple(
                (arms[row["arm"]].name, str(row["epoch"]), *(f"{row[field]:.4g}" for field in QUANTILE_FIELDS))
                for row in rows
            ),
        ),
    )


def _quantile_titles() -> tuple[str, ...]:
    return tuple("median" if share == 0.5 else f"{100 * share:.0f}th percentile" for share in QUANTILES)


def _at_the_end(arms: Sequence[Arm], own: dict[int, RunDetails], measure: str, words: ValueWords) -> Chart:
    edges = bins([details.values for details in own.values()])
    rows: Rows = []
    for number, details in own.items():
        share = 100 * np.histogram(details.values, edges)[0] / max(np.count_nonzero(~np.isnan(details.values)), 1)
        rows += [_bin(number, *ends) for ends in zip(edges[:-1], edges[1:], share, strict=True)]
    look = Look(arms)
    x = measured("from", words.axis) | {"scale": {"nice": False, "zero": False}}
    y = measured("share", "samples (%)", zero=True)
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
    middle = {number: float(np.nanmedian(details.values)) for number, details in own.items() if _any(details.values)}
    first = next(iter(middle))
    return Chart(
        name=f"values-end-{measure}",
        heading=f"Values after the last epoch ({words.name})",
        finding=(
            f"Distribution of the values after the last epoch: half of the samples lie below {middle[first]:.3g} for "
            f"{arms[first].name}. The axis ends at the 99th percentile."
        ),
        spec=overlay(layers, arms, {f"values-end-{measure}": rows}, height=260),
        numbers=Numbers(
            headings=("arm", "value from", "value to", "samples (%)"),
            rows=tuple(
                (arms[row["arm"]].name, f"{row['from']:.4g}", f"{row['to']:.4g}", f"{row['share']:.2f}")
                for row in rows
            ),
        ),
    )


def _bin(number: int, low: float, high: float, share: float) -> dict[str, Any]:
    return {"arm": number, "from": rounded(low), "to": rounded(high), "share": round(float(share), 2)}


def _any(values: NDArray[np.float64]) -> bool:
    return not bool(np.isnan(values).all())


def bins(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the edges of bins from 0, or the smallest 1st percentile of `values` below it, to their largest 99th."""
    ends = [float(quantile) for v in values if _any(v) for quantile in np.nanquantile(v, (0.01, 0.99))]
    lowest, highest = min([0.0, *ends]), max([0.0, *ends])
    return np.linspace(lowest, highest if highest > lowest else 1.0, VALUE_BINS + 1)
