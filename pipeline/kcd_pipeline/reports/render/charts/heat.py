"""Cells of a heat map by the field `share`, in percent."""

from kcd_pipeline.reports.render.charts.spec import Part

STRONG = 55  # percent; from here on a cell's colour is so strong that its text takes the other ink


def heat_cells(x: Part, y: Part, seen: list[Part], *, legend: str, texts: bool) -> list[Part]:
    """Return the layers of a heat map: cells by `x` and `y`, coloured by their share, and its text if it has room."""
    colour = {
        "field": "share", "type": "quantitative", "title": legend,
        "scale": {"domain": [0, 100]},
        "legend": {"orient": "bottom", "direction": "horizontal", "gradientLength": 180},
    }  # fmt: skip
    cells: Part = {"mark": {"type": "rect"}, "encoding": {"x": x, "y": y, "color": colour, "tooltip": seen}}
    if not texts:
        return [cells]
    # the theme says which ink is readable on strong colours
    ink = {"condition": {"test": f"datum.share >= {STRONG}", "value": {"expr": "strongInk"}}, "value": {"expr": "ink"}}
    text = {"field": "share", "type": "quantitative", "format": ".0f"}
    return [cells, {"mark": {"type": "text", "fontSize": 11}, "encoding": {"x": x, "y": y, "text": text, "color": ink}}]
