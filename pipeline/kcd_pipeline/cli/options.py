"""Arguments and options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

from kcd_pipeline.config import recipe_names

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")

FORMS = {
    "json": 'Print {"arms": [...], "pairs": [...], "runs": [...]} for machines, instead of the table.',
    "csv": "Print the arms as CSV for a spreadsheet.",
    "latex": "Print the arms as a LaTeX table for a paper, with the rules of booktabs.",
    "markdown": "Print the arms as a Markdown table.",
}


def takes_form(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` an option for each of `FORMS`, of which one may be given: its argument `form`, else None."""
    for name, words in reversed(FORMS.items()):
        option = click.option(f"--{name}", is_flag=True, expose_value=False, callback=_take_form, help=words)
        command = option(command)
    return command


def _take_form(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Set the parameter `form` of a command to the option that was given; refuse a second one."""
    before = ctx.params.setdefault("form", None)
    if value and before is not None:
        raise click.UsageError(f"--{before} and --{param.name} each fill standard output: give one of them")
    if value:
        ctx.params["form"] = param.name


def takes_config(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the argument CONFIG and the option --set."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override section.key=value; any number of times.",
    )(command)
    return click.argument("config", shell_complete=complete_recipe)(command)


def complete_recipe(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete CONFIG in a shell: by the names of shipped recipes, or by files if no name begins so."""
    from click.shell_completion import CompletionItem

    names = [CompletionItem(name) for name in recipe_names() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def parse_image_shape(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int, int]:
    """Return `3x32x32` as (3, 32, 32): channels, height, width.

    Raises
    ------
    click.BadParameter
        If `value` is anything but three positive whole numbers with an x between them.
    """
    parts = [int(part) if part.isdecimal() else 0 for part in value.split("x")]
    if len(parts) != 3 or not all(parts):
        raise click.BadParameter(f"'{value}' is not channels x height x width; for example 3x32x32", ctx, param)
    return parts[0], parts[1], parts[2]
