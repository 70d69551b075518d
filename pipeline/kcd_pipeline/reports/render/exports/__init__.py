"""The arms of a comparison as a table of another program: CSV, LaTeX or Markdown."""

from collections.abc import Callable

from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.render.exports.for_papers import as_latex, as_markdown
from kcd_pipeline.reports.render.exports.for_spreadsheets import as_csv

EXPORTS: dict[str, Callable[[Comparison], str]] = {"csv": as_csv, "latex": as_latex, "markdown": as_markdown}

__all__ = ["EXPORTS"]
