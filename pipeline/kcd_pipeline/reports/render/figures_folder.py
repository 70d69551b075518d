"""Figures for papers: each chart of a comparison as an SVG and a PDF file, in the colours of a light page."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vl_convert

from kcd_pipeline.errors import UserError
from kcd_pipeline.files import write_whole
from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.render.charts import Chart, charts
from kcd_pipeline.reports.render.charts.spec import ARMS, CHOSEN
from kcd_pipeline.reports.render.charts.themes import theme

WIDTH = 560  # pixels of a figure without its legend
LEGEND_COLUMNS = 3


def write_figures(comparison: Comparison, details: Sequence[RunDetails], folder: Path) -> tuple[Path, ...]:
    """Write each chart to `folder` as SVG and PDF, and return the files; a chart with choices is a figure for each.

    Parameters
    ----------
    comparison
        The runs and what they say together.
    details
        The details of the first run of each arm.
    folder
        Made if it is missing. Figures of the same names are replaced.

    Raises
    ------
    UserError
        If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"the figures cannot be written to {folder}: {error.filename} is a file where a folder is needed. Give "
            f"--figures another path."
        ) from error
    written: list[Path] = []
    for name, svg in draw_figures(comparison, details).items():
        for ending, content in ((".svg", svg.encode()), (".pdf", vl_convert.svg_to_pdf(svg))):
            written.append(folder / f"{name}{ending}")
            write_whole(written[-1], content)
    return tuple(written)


def draw_figures(comparison: Comparison, details: Sequence[RunDetails]) -> dict[str, str]:
    """Return the SVG of each figure by its name; see `write_figures`."""
    specs = (figure_specs(chart).items() for chart in charts(comparison, details))
    config = theme(dark=False)
    return {name: vl_convert.vegalite_to_svg(spec, config=config) for of_chart in specs for name, spec in of_chart}


def figure_specs(chart: Chart) -> dict[str, dict[str, Any]]:
    """Return the specifications of a chart's figures by their names: of one width, and with a legend of their own."""
    names = [arm["name"] for arm in chart.spec["datasets"][ARMS]]
    spec: dict[str, Any] = _with_legend(chart.spec, names)
    spec |= {"width": WIDTH, "autosize": {"type": "pad"}}
    if not chart.choices:
        return {chart.name: spec}
    words = {choice.number: _file_words(choice.name, choice.number) for choice in chart.choices}
    return {f"{chart.name}-{each}": _choose(spec, number) for number, each in words.items()}


def _choose(spec: Mapping[str, Any], number: int) -> dict[str, Any]:
    params = [param | {"value": number} if param["name"] == CHOSEN else param for param in spec["params"]]
    return {**spec, "params": params}


def _file_words(name: str, number: int) -> str:
    """Return a part of a file's name that no other choice has: its number, and the letters and digits of its name."""
    return f"{number + 1}-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}".strip("-")


def _with_legend(part: Any, names: Sequence[str]) -> Any:
    """Return a part of a specification in which the channels of arms have a legend with their names."""
    if isinstance(part, list):
        return [_with_legend(each, names) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: value if key == "datasets" else _with_legend(value, names) for key, value in part.items()}
    if found.get("field") == "arm" and "legend" in found:
        found["title"] = None
        # a list in Vega's expression language is written as in JSON
        found["legend"] = {
            "orient": "bottom", "columns": LEGEND_COLUMNS, "labelLimit": 0,
            "labelExpr": f"{json.dumps(list(names))}[datum.value]",
        }  # fmt: skip
    return found
