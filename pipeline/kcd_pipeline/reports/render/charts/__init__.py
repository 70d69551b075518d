"""Charts of a comparison as Vega-Lite specifications, for the page, for figures in files, and for the live page."""

from collections.abc import Sequence

from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.render.charts.accuracy import accuracy_by_epoch, accuracy_of_arms, results
from kcd_pipeline.reports.render.charts.chart import Chart, Choice, Numbers
from kcd_pipeline.reports.render.charts.cost import accuracy_against_rows, accuracy_against_seconds
from kcd_pipeline.reports.render.charts.outcomes import outcomes_charts
from kcd_pipeline.reports.render.charts.page_parts import charts_json, swatch, swatch_css
from kcd_pipeline.reports.render.charts.script import javascript
from kcd_pipeline.reports.render.charts.series import by_epoch
from kcd_pipeline.reports.render.charts.styles import ArmStyle, styles
from kcd_pipeline.reports.render.charts.training import kept_by_class, kept_by_epoch, loss_by_epoch
from kcd_pipeline.reports.render.charts.values import values_charts

__all__ = [
    "ArmStyle",
    "Chart",
    "Choice",
    "Numbers",
    "charts",
    "charts_json",
    "javascript",
    "styles",
    "swatch",
    "swatch_css",
]


def charts(comparison: Comparison, details: Sequence[RunDetails]) -> tuple[Chart, ...]:
    """Return the charts that these runs have something to show in.

    Parameters
    ----------
    comparison
        The runs and what they say together.
    details
        The details of the first run of each arm.
    """
    arms, courses = comparison.arms, by_epoch(comparison.arms)
    teacher, unfinished = comparison.teacher_accuracy, comparison.unfinished
    course = accuracy_by_epoch(arms, courses, teacher, unfinished)
    if not arms:
        return (course,) if course.numbers.rows else ()
    costs = results(arms)
    found: list[Chart | None] = [
        accuracy_of_arms(arms, comparison.best),
        accuracy_against_rows(arms, costs),
        accuracy_against_seconds(arms, costs),
        course,
        loss_by_epoch(arms, courses) if any("loss" in row for row in courses) else None,
        kept_by_epoch(arms, courses),
        kept_by_class(arms, details),
        *values_charts(arms, details),
        *outcomes_charts(arms, details),
    ]
    return tuple(chart for chart in found if chart is not None)
