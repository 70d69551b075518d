"""Texts of findings and of the cells of a chart's numbers."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.wording import MISSING


def percentage(arm: Arm) -> str:
    """Return the mean test accuracy of an arm as `58.8%`."""
    return f"{100 * arm.mean_accuracy:.1f}%"


def interval_cell(row: Mapping[str, Any], field: str, digits: int) -> str:
    """Return the interval of `field` in a row as `58.10 to 59.30`; a dash where there is none."""
    low, high = row.get(f"{field}_low"), row.get(f"{field}_high")
    return MISSING if low is None else f"{low:.{digits}f} to {high:.{digits}f}"
