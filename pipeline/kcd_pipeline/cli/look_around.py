"""The commands that look around: models, inspect, verify and demo."""

import json
from pathlib import Path

import click

from kcd_pipeline.cli.options import json_option, parse_image_shape
from kcd_pipeline.config import Config, as_override, load_config
from kcd_pipeline.errors import UserError
from kcd_pipeline.model_costs import costs_as_json, costs_as_table, tabulated_costs
from kcd_pipeline.terminal import print_line
from kcd_stores import masked, open_storage, same_place


@click.command("models", short_help="List the models for teachers and students, and their cost.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--input",
    "shape",
    metavar="KxHxW",
    callback=parse_image_shape,
    default="3x32x32",
    show_default=True,
    help="Shape of an image.",
)
@click.option("--classes", type=click.IntRange(min=1), default=100, show_default=True, help="Number of classes.")
@json_option
def models_command(names: tuple[str, ...], shape: tuple[int, int, int], classes: int, as_json: bool) -> None:
    """List the models of the zoo, or those of the given NAMEs, with parameters and multiply-adds for one image.

    Beside the zoo, teacher.model and student.model may be torchvision/NAME, timm/NAME or package.module:callable.
    """
    costs = tabulated_costs(names, shape, classes)
    if costs is None:
        from kcd_pipeline.models.counting import count_costs

        costs = count_costs(names, shape, classes)
    print_line(json.dumps(costs_as_json(costs, shape, classes), indent=2) if as_json else costs_as_table(costs))


@click.command("inspect", short_help="Show what a store or a run holds.")
@click.argument("path", type=click.Path())
@json_option
def inspect_command(path: str, as_json: bool) -> None:
    """Show the facts of PATH, a knowledge store or a run: shape, encoding, bytes, completeness, and its origin."""
    from kcd_pipeline.inspection import inspect

    inspect(path, as_json=as_json)


@click.command("verify", short_help="Verify that a store is whole and undamaged.")
@click.argument("store", type=click.Path())
@click.option("--teacher", "config", metavar="CONFIG", help="Also make random rows again with the teacher of CONFIG.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value of CONFIG.")
@click.option(
    "--rows", type=click.IntRange(min=1), default=256, show_default=True, help="Number of rows that --teacher makes."
)
def verify_command(store: str, config: str | None, overrides: tuple[str, ...], rows: int) -> None:
    """Read all of STORE; verify its completeness, every checksum and value, and that its attributes fit its arrays.

    The exit code is 1 if it is damaged, and 2 if it is not finished.
    """
    from kcd_pipeline.verification import verify

    settings = None if config is None else _of_store(config, overrides, store)
    print_line(verify(store, settings, rows=rows))


def _of_store(name: str, overrides: tuple[str, ...], store: str) -> Config:
    """Return the config of the teacher of a recipe whose store is compared: of several, the one that names it.

    Raises
    ------
    UserError
        If none of several teachers names it.
    """
    config = load_config(name, overrides)
    if not config.other_teachers:
        return load_config(name, (*overrides, as_override("store.path", store)))
    parts = config.each_teacher()
    for part in parts:
        if same_place(open_storage(part.store.path), open_storage(store)):
            return part
    stores = ", ".join(masked(part.store.path) for part in parts)
    raise UserError(
        f"{name} has {len(parts)} teachers, and {masked(store)} is the store of none of them: theirs are {stores}. "
        f"Give one of these, or leave --teacher out."
    )


@click.command("demo", short_help="Run all of the above on real digits, in minutes.")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path("kcd-demo"))
def demo_command(folder: Path) -> None:
    """Make a teacher, a store, three students and a report of scikit-learn's digits, in DIR (default: kcd-demo).

    Called again, it goes on from where it was stopped.
    """
    from kcd_pipeline.demo import demo

    demo(folder)
