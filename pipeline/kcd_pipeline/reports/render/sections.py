"""The sections of the page, in the order in which they are read; one without content is left out."""

from collections.abc import Sequence
from dataclasses import dataclass

from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.render.charts import Chart

HEADINGS = {
    "results": "Results",
    "pairs": "Pairs",
    "cost": "Accuracy against cost",
    "epochs": "Epoch by epoch",
    "kept": "What was kept",
    "values": "What the samples are worth",
    "outcomes": "Right and wrong on the test set",
    "samples": "Most and least valued samples",
    "stores": "The stores",
    "settings": "Settings that differ",
    "runs": "Every run",
}
# The section of each chart, by the chart's name
CHARTS = {
    "accuracy-arms": "results",
    "accuracy-rows": "cost",
    "accuracy-seconds": "cost",
    "accuracy-epoch": "epochs",
    "loss-epoch": "epochs",
    "kept-epoch": "kept",
    "kept-class": "kept",
    "values-stage": "values",
    "values-end": "values",
    "class-accuracy": "outcomes",
    "confusion": "outcomes",
}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section: its name, which is the id of its element, its heading, and its charts."""

    name: str
    heading: str
    charts: tuple[Chart, ...]


def sections(comparison: Comparison, charts: Sequence[Chart]) -> list[Section]:
    """Return the sections of the page of `comparison`; those that live from charts only if they have one."""
    filled = {"runs"} | ({"results", "samples", "stores", "settings"} if comparison.runs else set())
    if comparison.pairs:
        filled.add("pairs")
    found = []
    for name, heading in HEADINGS.items():
        shown = tuple(chart for chart in charts if CHARTS[chart.name] == name)
        if shown or name in filled:
            found.append(Section(name=name, heading=heading, charts=shown))
    return found
