"""The parts of a page that draw charts: their data as JSON, and swatches of the arms' looks."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from kcd_pipeline.reports.render.charts.chart import Chart
from kcd_pipeline.reports.render.charts.spec import Rows
from kcd_pipeline.reports.render.charts.styles import DARK_COLOURS, LIGHT_COLOURS, ArmStyle
from kcd_pipeline.reports.render.charts.themes import theme

# Outlines in a box of 12 x 12 around its middle
OUTLINES = {
    "circle": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
    "square": "M-3.5,-3.5h7v7h-7Z",
    "triangle-up": "M0,-4.4L4.2,3.2H-4.2Z",
    "diamond": "M0,-5L4,0L0,5L-4,0Z",
    "triangle-down": "M0,4.4L4.2,-3.2H-4.2Z",
    "cross": "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z",
    "triangle-right": "M4.4,0L-3.2,4.2V-4.2Z",
}


def charts_json(charts: Sequence[Chart]) -> Markup:
    """Return what `charts.js` draws, as JSON for a script element of type application/json.

    Each data set is in it once, by columns, also where several charts use it.
    """
    datasets: dict[str, dict[str, list[Any]]] = {}
    for chart in charts:
        for name, rows in chart.spec["datasets"].items():
            datasets.setdefault(name, _columns(rows))
    specs = {chart.name: {key: value for key, value in chart.spec.items() if key != "datasets"} for chart in charts}
    used = {chart.name: list(chart.spec["datasets"]) for chart in charts}
    findings = {chart.name: {each.number: each.finding for each in chart.choices} for chart in charts}
    page = {
        "themes": {"light": theme(dark=False), "dark": theme(dark=True)},
        "datasets": datasets,
        "used": used,
        "specs": specs,
        "findings": findings,
    }
    text = json.dumps(page, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # no name of an arm can end the element


def _columns(rows: Rows) -> dict[str, list[Any]]:
    return {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}


def swatch(style: ArmStyle) -> Markup:
    """Return a piece of an arm's line with its point, as an inline SVG element."""
    dash = "" if style.dash == (1, 0) else f' stroke-dasharray="{" ".join(map(str, style.dash))}"'
    return Markup(
        f'<svg class="swatch arm-colour-{style.colour}" viewBox="-18 -6 36 12" width="36" height="12" '
        f'aria-hidden="true"><path class="line" d="M-18,0H18"{dash}/><path d="{OUTLINES[style.shape]}"/></svg>'
    )


def swatch_css() -> Markup:
    """Return the rules that colour swatches, on a light and on a dark page."""
    light, dark = (
        "".join(f".arm-colour-{place}{{color:{colour}}}" for place, colour in enumerate(colours))
        for colours in (LIGHT_COLOURS, DARK_COLOURS)
    )
    return Markup(
        ".swatch{fill:currentcolor;vertical-align:middle}"
        ".swatch .line{fill:none;stroke:currentcolor;stroke-width:2}"
        f"{light}@media (prefers-color-scheme:dark){{{dark}}}"
    )
