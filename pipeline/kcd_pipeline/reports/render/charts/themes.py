"""Vega-Lite's settings for a light and a dark page. A specification names no colour: its theme does."""

from typing import Any

from kcd_pipeline.reports.render.charts.styles import DARK_COLOURS, LIGHT_COLOURS

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def theme(*, dark: bool) -> dict[str, Any]:
    """Return the `config` of a specification for a light or a dark page."""
    ink, quiet, line = ("#e4e7ec", "#98a2b3", "#344054") if dark else ("#1d2939", "#667085", "#e4e7ec")
    return {
        "aria": False,  # the text alternative stands on the element around the chart
        "background": None,
        "font": FONT,
        "range": {"category": list(DARK_COLOURS if dark else LIGHT_COLOURS), "heatmap": _heat(dark=dark)},
        "view": {"stroke": None},
        "axis": {
            "domainColor": quiet, "tickColor": quiet, "gridColor": line, "labelColor": ink, "titleColor": ink,
            "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelOverlap": True,
        },
        "legend": {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12},
        "rule": {"color": quiet},
        "style": {"quiet": {"stroke": quiet, "fill": None, "color": quiet}},
        # the inks of texts on weak and on strong cells of a heat map, which change places on a dark page
        "params": [
            {"name": "ink", "value": ink}, {"name": "strongInk", "value": "#101418" if dark else "#ffffff"},
            {"name": "nothing", "value": _heat(dark=dark)[0]},
        ],
        "text": {"color": ink, "fontSize": 12},
        "line": {"strokeWidth": 2},
    }  # fmt: skip


def _heat(*, dark: bool) -> list[str]:
    """Return the ends of the colours of a heat map, from nothing, which is close to the page, to the most."""
    return ["#222b35", "#2a5d86", "#7cc4f2", "#f2fbff"] if dark else ["#eef4fa", "#a9d1ee", "#2f7fb8", "#08335a"]
