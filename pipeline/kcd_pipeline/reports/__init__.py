"""Reports that compare runs: a table on the terminal, JSON for machines, one HTML page for people.

Data flows one way: `collect` reads run folders into records, `compute` compares the records, `render` shows the result.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say
from kcd_pipeline.reports.collect import collect_runs, read_stage_facts
from kcd_pipeline.reports.compute import Comparison, StudyFrame, compare
from kcd_pipeline.reports.wording import listing

__all__ = ["compare_runs", "comparison_data", "drawn_charts", "report", "results"]

MOST_LEFT_OUT = 8  # folders named in a line


def report(
    runs: Sequence[Path],
    *,
    frame: StudyFrame | None = None,
    html: Path | None = None,
    figures: Path | None = None,
    form: str = "table",
) -> None:
    """Compare the runs at `runs` or below them on standard output, and in a page or figures if these are asked for.

    Runs that are not finished are marked and not compared.

    Parameters
    ----------
    runs
        Folders of runs, or folders that have some below them.
    frame
        The study that the runs belong to; without one, arms are the runs that differ only by seed.
    html
        The file of the page.
    figures
        The folder of the charts as SVG and PDF.
    form
        Of standard output: `table` for people, `json` of everything, or the arms as `csv`, `latex` or `markdown`.

    Raises
    ------
    UserError
        If a path is no run of a student and has none below it, if none is finished, or if the page cannot be written.
    StoreError
        If JSON or a page is asked for, and the values or plans of a run cannot be read.
    """
    comparison = compare_runs(runs, frame=frame, html=html, figures=figures)
    _print(comparison, form)
    if html is not None:
        say(f"Page: {html}")
    if figures is not None:
        say(f"Figures: {figures}")


def compare_runs(
    runs: Sequence[Path], *, frame: StudyFrame | None = None, html: Path | None = None, figures: Path | None = None
) -> Comparison:
    """Return the comparison that `report` prints, after writing the page or the figures if these are asked for.

    Parameters and errors are those of `report`.
    """
    collected = collect_runs(runs)
    comparison = compare(collected.finished, collected.unfinished, frame)
    if collected.left_out:
        say(f"Left out: {listing(collected.left_out, most=MOST_LEFT_OUT)}.")
    if html is not None or figures is not None:
        _write_pictured(comparison, html, figures)
    return comparison


def drawn_charts(comparison: Comparison) -> dict[str, str]:
    """Return the SVG of each chart of a comparison by its name.

    Raises
    ------
    StoreError
        If the values or plans of a run cannot be read.
    """
    from kcd_pipeline.reports.collect.details import collect_details
    from kcd_pipeline.reports.render.figures_folder import draw_figures

    return draw_figures(comparison, collect_details([arm.first for arm in comparison.arms], comparison.runs))


def results(runs: Sequence[Path], frame: StudyFrame) -> dict[str, Any]:
    """Return the comparison of a study as `report --json` has it, but without the stages of each run.

    It is small, and the same for the same runs but for the seconds that they took.

    Raises
    ------
    UserError
        If a path is no run of a student, or if none is finished.
    """
    from kcd_pipeline.reports.render.plain_data import plain_data

    collected = collect_runs(list(runs))
    return plain_data(compare(collected.finished, collected.unfinished, frame))


def _write_pictured(comparison: Comparison, html: Path | None, figures: Path | None) -> None:
    """Write the page, the figures, or both, from details that are read once."""
    # these load torch, Jinja2 and the drawing of charts, which nothing else needs
    from kcd_pipeline.reports.collect.details import collect_details
    from kcd_pipeline.reports.render.figures_folder import write_figures
    from kcd_pipeline.reports.render.page import write_page

    if html is not None:
        _make_parent_folder(html)
    details = collect_details([arm.first for arm in comparison.arms], comparison.runs)
    if html is not None:
        write_page(comparison, details, html)
    if figures is not None:
        write_figures(comparison, details, figures)


def _make_parent_folder(html: Path) -> None:
    if html.is_dir():
        raise UserError(f"{html} is a folder, but --html takes the file to write, for example {html / 'report.html'}")
    try:
        html.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"the page cannot be written to {html}: {error.filename} is a file where a folder is needed. "
            f"Give --html another path."
        ) from error


def _print(comparison: Comparison, form: str) -> None:
    """Print the comparison in a form; only the table loads rich."""
    if form == "table":
        from kcd_pipeline.reports.render.table import print_comparison

        print_comparison(comparison)
    elif form == "json":
        click.echo(json.dumps(comparison_data(comparison), indent=2, allow_nan=False))
    else:
        from kcd_pipeline.reports.render.exports import EXPORTS

        click.echo(EXPORTS[form](comparison), nl=False)


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return all of a comparison as plain data, with the stages and the outcome of each run.

    Raises
    ------
    StoreError
        If the plans of a run cannot be read.
    """
    from kcd_pipeline.reports.collect.outcomes import names_by_test_set, read_outcome
    from kcd_pipeline.reports.render.plain_data import plain_data

    stage_facts = [read_stage_facts(run.folder, run.metrics) for run in comparison.runs]
    names = names_by_test_set(comparison.runs)
    outcomes = [read_outcome(run, names) for run in comparison.runs]
    return plain_data(comparison, stage_facts, outcomes)
