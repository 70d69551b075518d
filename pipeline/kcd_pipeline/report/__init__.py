"""What runs came to, side by side: a table on the terminal, JSON for machines, one HTML page for people."""

import json
from pathlib import Path

import click

from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say
from kcd_pipeline.report.collect.runs import collect
from kcd_pipeline.report.compute.comparison import compare

__all__ = ["report"]


def report(runs: list[Path], *, html: Path | None, as_json: bool) -> None:
    """Compare finished runs on standard output, and in a page at `html` where one is asked for.

    Raises
    ------
    UserError
        If a path is not a finished run, or the page cannot be put where it is wanted.
    """
    comparison = compare(collect(runs))
    if html is not None:
        from kcd_pipeline.report.render.page import (
            render,  # loads matplotlib, Jinja2 and torch, which only a page needs
        )

        _make_room(html)
        render(comparison, html)
    if as_json:
        click.echo(json.dumps(comparison.as_json(), indent=2, allow_nan=False))
    else:
        from kcd_pipeline.report.render.table import print_comparison  # loads rich's tables, which JSON does not need

        print_comparison(comparison)
    if html is not None:
        say(f"Page: {html}")


def _make_room(html: Path) -> None:
    if html.is_dir():
        raise UserError(f"{html} is a folder, but --html takes the file to write, for example {html / 'report.html'}")
    try:
        html.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"the page cannot be written to {html}: {error.filename} is a file where a folder is needed. "
            f"Give --html another path."
        ) from error
