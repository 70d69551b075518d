"""Charts of a comparison as Vega-Lite specifications, for the page, for figures in files, and for the live page."""

from collections.abc import Sequence

from kcd_pipeline.report.collect.details import RunDetails
from kcd_pipeline.report.compute import Comparison
from kcd_pipeline.report.render.charts.accuracy import accuracy_by_epoch
from kcd_pipeline.report.render.charts.chart import Chart, Numbers
from kcd_pipeline.report.render.charts.page_parts import charts_json, javascript, swatch, swatch_css
from kcd_pipeline.report.render.charts.styles import ArmStyle, styles

__all__ = ["ArmStyle", "Chart", "Numbers", "charts", "charts_json", "javascript", "styles", "swatch", "swatch_css"]


def charts(comparison: Comparison, details: Sequence[RunDetails]) -> tuple[Chart, ...]:
    """Return the charts that these runs have something to show in.

    Parameters
    ----------
    comparison
        The runs and what they say together.
    details
        The details of the first run of each arm.
    """
    arms = comparison.arms
    return (accuracy_by_epoch(arms, comparison.teacher_accuracy),)
