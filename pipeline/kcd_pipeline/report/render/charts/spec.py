"""Parts of specifications that the charts share: arms that can be switched off, looks, axes, and data."""

from collections.abc import Mapping, Sequence
from typing import Any

from kcd_pipeline.report.render.charts.styles import styles

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
HIDDEN = "hidden"  # parameter: the numbers of the arms that are switched off
CHOSEN = "chosen"  # parameter: the number of the arm that is shown, where one is shown at a time

Rows = list[dict[str, Any]]


def specification(
    layers: Sequence[Mapping[str, Any]], datasets: Mapping[str, Rows], *, main: str, height: int = 320
) -> dict[str, Any]:
    """Return a chart as wide as its container, whose layers take the data set `main` unless they name another.

    Arms can be switched off by the parameter `hidden`.
    """
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "params": [{"name": HIDDEN, "value": []}],
        "datasets": dict(datasets),
        "data": {"name": main},
        "transform": [{"filter": f"indexof({HIDDEN}, datum.arm) < 0"}],
        "layer": list(layers),
    }


def arm_colour(count: int) -> dict[str, Any]:
    """Return the colour of `count` arms, by the field `arm`: the theme's colours in turn."""
    return {"field": "arm", "type": "nominal", "scale": {"domain": list(range(count))}, "legend": None}


def arm_dash(count: int) -> dict[str, Any]:
    """Return the dashes of `count` arms, by the field `arm`."""
    dashes = [list(style.dash) for style in styles(range(count))]
    return arm_colour(count) | {"scale": {"domain": list(range(count)), "range": dashes}}


def arm_shape(count: int) -> dict[str, Any]:
    """Return the point shapes of `count` arms, by the field `arm`."""
    shapes = [style.shape for style in styles(range(count))]
    return arm_colour(count) | {"scale": {"domain": list(range(count)), "range": shapes}}


def measured(field: str, title: str, *, zero: bool = False, **more: Any) -> dict[str, Any]:
    """Return an axis or a channel of the numbers of `field`."""
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": zero, "nice": True}, **more}


def shown(**titles: str) -> list[dict[str, Any]]:
    """Return what is shown of a mark that is pointed at: by field, its title."""
    return [{"field": field, "title": title} for field, title in titles.items()]
