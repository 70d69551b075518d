"""The command line. Commands import what they need when they run: torch takes seconds, `--help` must not."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kcd_pipeline import __version__
from kcd_pipeline.cli.boundary import Grouped
from kcd_pipeline.config import load_config, recipe_names
from kcd_pipeline.config.schema import ENCODING_NAMES, METHODS
from kcd_pipeline.progress import human_bytes, human_seconds

CHECKED_ROWS = 64  # before training: a moment even for a large teacher
RANKED = ("distill",)  # what torchrun and accelerate launch may start
HEADINGS = {
    "Stage 1, offline: a teacher and its knowledge": ["train-teacher", "extract-teacher"],
    "Stage 2, online: students": ["distill", "condense", "report"],
    "Look around": ["models", "inspect", "verify", "demo"],
}


@click.group(
    cls=Grouped,
    headings=HEADINGS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="CONFIG is a YAML file, or the name of a shipped recipe: "
    + ", ".join(recipe_names())
    + '. Shell completion: eval "$(_KCD_PIPELINE_COMPLETE=bash_source kcd-pipeline)"; also zsh_source, fish_source.',
)
@click.version_option(__version__, prog_name="kcd-pipeline")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Distil image classifiers from cached teacher knowledge.

    Extract a teacher's knowledge once; train many students from the store, condensing it as they learn.
    """
    command, ranks = click.get_current_context().invoked_subcommand, os.environ.get("WORLD_SIZE", "1")
    if command not in RANKED and ranks != "1":
        raise click.UsageError(
            f"{command} is one process, but {ranks} were launched (the variable WORLD_SIZE says so); only "
            f"{' and '.join(RANKED)} trains on several ranks. Run it without torchrun or accelerate launch."
        )


def complete_recipe(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Shell completion of CONFIG: shipped recipes, and files."""
    from click.shell_completion import CompletionItem

    names = [CompletionItem(name) for name in recipe_names() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def takes_config(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG and --set, as every command that reads a recipe has them."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override section.key=value; any number of times.",
    )(command)
    return click.argument("config", shell_complete=complete_recipe)(command)


@main.command("train-teacher", short_help="Train the teacher of a recipe.")
@takes_config
@click.option("--overwrite", is_flag=True, help="Start anew, replacing weights and training that are there.")
def train_teacher_command(config: str, overrides: tuple[str, ...], overwrite: bool) -> None:
    """Train the teacher of CONFIG and write its weights (safetensors, with its accuracy in the header).

    Called again, it goes on from the last whole epoch, or says that the teacher is there.
    """
    settings = load_config(config, overrides)
    from kcd_pipeline.teacher import train_teacher

    trained = train_teacher(settings, overwrite=overwrite)
    state = "was trained already" if trained.already else f"trained in {trained.seconds:.0f} s"
    click.echo(
        f"Teacher {settings.teacher.model}: {trained.test_accuracy:.2%} on the test set, {state}. "
        f"Weights: {trained.weights}"
    )


@main.command("extract-teacher", short_help="Write the teacher's knowledge into a store.")
@takes_config
@click.option("--overwrite", is_flag=True, help="Start anew, replacing the store that is there.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost, from a short measured trial; write nothing.")
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="Share the work among N processes.")
@click.option("--scheduler", metavar="ADDRESS", help="Share it among the workers of a dask cluster (tcp://host:8786).")
def extract_teacher_command(
    config: str,
    overrides: tuple[str, ...],
    overwrite: bool,
    dry_run: bool,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Run the teacher of CONFIG over every view of every sample and write its logits into the knowledge store.

    Called again, it makes what is missing, or says that the store is complete. Any number of workers, which may come
    and go, write the same store as one process.
    """
    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers starts a cluster and --scheduler uses one that runs: give one of them")
    if dry_run and (workers is not None or scheduler is not None):
        raise click.UsageError("--dry-run is a trial in this process: leave --workers and --scheduler out")
    settings = load_config(config, overrides)
    from kcd_pipeline.extraction import Cluster, estimate, extract_teacher

    if dry_run:
        cost = estimate(settings)
        click.echo(
            f"{cost.rows:,} rows ({settings.store.views} views), about {human_bytes(cost.bytes)} in {cost.files:,} "
            f"files, about {human_seconds(cost.seconds)}; from a trial of {cost.trial_rows:,} rows. Nothing was "
            f"written to {settings.store.path}."
        )
        return
    cluster = None if workers is None and scheduler is None else Cluster(workers=workers, scheduler=scheduler)
    done = extract_teacher(settings, overwrite=overwrite, cluster=cluster)
    store = done.store
    rows = settings.store.views * store.layout.samples
    if not done.blocks_made:
        click.echo(
            f"The store at {store.location} is complete: {rows:,} rows in {done.blocks_found} blocks; nothing to do."
        )
        return
    click.echo(
        f"Store {store.location}: {rows:,} rows ({settings.store.views} views of {store.layout.samples:,} samples), "
        f"{human_bytes(store.bytes_on_disk())}, {store.seconds():.0f} s of teacher, "
        f"{done.blocks_made} blocks made and {done.blocks_found} found."
    )


@main.command("distill", short_help="Train a student from the store.")
@takes_config
@click.option("--method", type=click.Choice(METHODS), help="Override distill.method.")
@click.option("--no-check", is_flag=True, help="Do not compare a few stored rows with the teacher first.")
@click.option("--resume", is_flag=True, help="Go on with the run in run.dir from its last whole epoch.")
@click.option("--overwrite", is_flag=True, help="Start anew, replacing the run in run.dir, whatever its config.")
def distill_command(
    config: str, overrides: tuple[str, ...], method: str | None, resume: bool, overwrite: bool, no_check: bool
) -> None:
    """Train one student of CONFIG from the knowledge store, into its own run folder.

    none learns from labels only, kd from all stored knowledge, kcd condenses it as it goes.

    Where the teacher's weights are at hand, a few rows are made again first: a store that has drifted apart from data
    or augmentation is refused before anything is trained on it.

    Several processes train it together under torchrun or accelerate launch: docs/how-to/several-ranks.md.
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on and --overwrite starts anew: give one of them")
    if method is not None:
        overrides = (*overrides, f"distill.method={method}")
    settings = load_config(config, overrides)
    from kcd_pipeline.data import load_dataset
    from kcd_pipeline.distillation import distill
    from kcd_pipeline.runs.folder import RunFolder
    from kcd_pipeline.training.ranks import join_ranks
    from kcd_pipeline.verification.against_teacher import compare_with_teacher

    trains = overwrite or not RunFolder(settings.run_dir).finished
    with join_ranks(settings.run) as ranks:
        dataset = load_dataset(settings.data)
        if trains and not no_check and settings.distill.method != "none" and settings.teacher.weights.is_file():
            ranks.run_on_first(lambda: compare_with_teacher(settings, rows=CHECKED_ROWS, dataset=dataset))
        run = distill(settings, resume=resume, overwrite=overwrite, dataset=dataset)
        if not ranks.is_first:
            return
    summary = run.summary
    state = "The run was finished already" if run.already else f"{summary['seconds']:.0f} s"
    click.echo(
        f"{summary['student']} by {summary['method']}: {summary['test_accuracy']:.2%} on the test set after "
        f"{summary['epochs']} epochs, {summary['rows_trained']:,} knowledge rows. {state}. Run: {run.folder.path}"
    )


@main.command("condense", short_help="Write the condensed set of a run as a store of its own.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--export", "to", required=True, metavar="STORE", help="Where the store goes: a folder or a URL.")
@click.option(
    "--stage", type=click.IntRange(min=1), help="Whose plan, as inspect counts them; the last one if not given."
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODING_NAMES),
    default="float16",
    show_default=True,
    help="How logits are laid down, with the settings of the run's recipe.",
)
@click.option("--store", "source", metavar="STORE", help="The store that the run was taught from, if it has moved.")
@click.option("--overwrite", is_flag=True, help="Start anew, replacing the store that is there.")
def condense_command(run: Path, to: str, stage: int | None, encoding: str, source: str | None, overwrite: bool) -> None:
    """Write what the last stage of RUN was taught, perturbed rows included, as a compact store of its own.

    Another student is taught from it by kd, on these samples alone: --set store.path=STORE. Called again, it makes what
    is missing, or says that the store is complete.
    """
    from kcd_pipeline.export.condensed_set import export_condensed

    done = export_condensed(run, to, stage=stage, encoding=encoding, source=source, overwrite=overwrite)
    store, plan = done.store, done.plan
    rows = store.layout.views * store.layout.samples
    if not done.blocks_made:
        click.echo(f"The store at {store.location} is complete: {rows:,} rows; nothing to do.")
        return
    click.echo(
        f"Store {store.location}: {rows:,} rows ({store.layout.views} views of {store.layout.samples:,} of "
        f"{plan.samples:,} samples, stage {plan.stage + 1}), {human_bytes(store.bytes_on_disk())}, "
        f"{done.blocks_made} blocks made and {done.blocks_found} found."
    )


@main.command("report", short_help="Compare runs: table, HTML page, JSON.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a self-contained page with plots.")
@click.option("--json", "as_json", is_flag=True, help='Print {"runs": [...]} for machines, instead of the table.')
def report_command(runs: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Lay student runs side by side: accuracy, cost, what was kept, and what the store saved."""
    from kcd_pipeline.report import report

    report(list(runs), html=html, as_json=as_json)


def image_shape(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int, int]:
    """`3x32x32` as (3, 32, 32): channels, height, width."""
    parts = [int(part) if part.isdecimal() else 0 for part in value.split("x")]
    if len(parts) != 3 or not all(parts):
        raise click.BadParameter(f"'{value}' is not channels x height x width; for example 3x32x32", ctx, param)
    return parts[0], parts[1], parts[2]


@main.command("models", short_help="What teachers and students can be, and what they cost.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--input", "shape", metavar="KxHxW", callback=image_shape, default="3x32x32", show_default=True, help="Of an image."
)
@click.option("--classes", type=click.IntRange(min=1), default=100, show_default=True, help="How many there are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def models_command(names: tuple[str, ...], shape: tuple[int, int, int], classes: int, as_json: bool) -> None:
    """List the models of the zoo, or those of the given NAMEs, with parameters and multiply-adds for one image.

    Beside the zoo, teacher.model and student.model may be torchvision/NAME, timm/NAME or package.module:callable.
    """
    from kcd_pipeline.models.counting import costs, costs_as_json, costs_as_table

    found = costs(names, shape, classes)
    click.echo(json.dumps(costs_as_json(found, shape, classes), indent=2) if as_json else costs_as_table(found))


@main.command("inspect", short_help="What a store or a run holds.")
@click.argument("path", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def inspect_command(path: str, as_json: bool) -> None:
    """Say what lies at PATH, a knowledge store or a run: shape, encoding, bytes, completeness, what it is made from."""
    from kcd_pipeline.inspection.facts import inspect

    inspect(path, as_json=as_json)


@main.command("verify", short_help="Whether a store is whole and undamaged.")
@click.argument("store", type=click.Path())
@click.option("--teacher", "config", metavar="CONFIG", help="Also make random rows again with the teacher of CONFIG.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value of CONFIG.")
@click.option("--rows", type=click.IntRange(min=1), default=256, show_default=True, help="Rows made with --teacher.")
def verify_command(store: str, config: str | None, overrides: tuple[str, ...], rows: int) -> None:
    """Read all of STORE: completeness, every checksum, every value, and whether its attributes agree with its arrays.

    Exit code 1 if it is damaged, 2 if it is only not finished.
    """
    from kcd_pipeline.verification.verify import verify

    settings = None if config is None else load_config(config, (*overrides, f"store.path={store}"))
    click.echo(verify(store, settings, rows=rows))


@main.command("demo", short_help="All of the above on real digits, in minutes.")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path("kcd-demo"))
def demo_command(folder: Path) -> None:
    """Teacher, store, three students and a report on scikit-learn's digit images, into DIR (default: kcd-demo).

    Called again, it goes on from where it was stopped.
    """
    from kcd_pipeline.demo import demo

    demo(folder)
