"""The commands of stage 2, distill and condense, and report."""

import shlex
from pathlib import Path

import click

from kcd_pipeline.cli.asked import read_asked
from kcd_pipeline.cli.options import takes_config, takes_form
from kcd_pipeline.cli.studies import asked_source
from kcd_pipeline.config import ENCODING_NAMES, METHODS
from kcd_pipeline.terminal import print_line
from kcd_stores import human_bytes

PORT = 8237  # of a report that is served


@click.command("distill", short_help="Train a student from the store.")
@takes_config
@click.option("--method", type=click.Choice(METHODS), help="Override distill.method.")
@click.option("--no-check", is_flag=True, help="Do not compare a few stored rows with the teacher first.")
@click.option("--resume", is_flag=True, help="Require a run in run.dir to go on with.")
@click.option("--overwrite", is_flag=True, help="Start anew, replacing the run in run.dir, whatever its config.")
def distill_command(
    config: str, overrides: tuple[str, ...], method: str | None, resume: bool, overwrite: bool, no_check: bool
) -> None:
    """Train one student of CONFIG from the knowledge store, into its own run folder.

    Method none learns from labels only, kd from all stored knowledge, and kcd from knowledge that it condenses as it
    goes.

    If the teacher's weights are there, a few rows are made again first: a store that no longer agrees with the data or
    the augmentation is refused before anything is trained on it.

    Called again, it goes on from the last whole epoch, or says that the run is finished.

    Several processes train it together under torchrun or accelerate launch: docs/how-to/several-ranks.md.
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on and --overwrite starts anew: give one of them")
    if method is not None:
        overrides = (*overrides, f"distill.method={method}")
    settings = read_asked(config, overrides)
    from kcd_pipeline.api.students import checked_distill
    from kcd_pipeline.reports.collect import read_checked_summary
    from kcd_pipeline.training.ranks import join_ranks

    with join_ranks(settings.run) as ranks:
        run = checked_distill(settings, resume=resume, overwrite=overwrite, check=not no_check)
        if not ranks.is_first:
            return
    summary = read_checked_summary(run.folder) if run.already else run.summary
    averaged = summary.get("ema_test_accuracy")
    average = "" if averaged is None else f" ({averaged:.2%} by the average of its weights)"
    state = "The run was finished already" if run.already else f"{summary['seconds']:.0f} s"
    print_line(
        f"{summary['student']} by {summary['method']}: {summary['test_accuracy']:.2%} on the test set{average} "
        f"after {summary['epochs']} epochs, {summary['rows_trained']:,} knowledge rows. {state}. Run: {run.folder.path}"
    )


@click.command("condense", short_help="Write the condensed set of a run as a store of its own.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--export", "to", required=True, metavar="STORE", help="Where the store goes: a folder or a URL.")
@click.option(
    "--stage",
    type=click.IntRange(min=1),
    help="Stage whose plan is exported, as inspect counts them; the last one if not given.",
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODING_NAMES),
    default="float16",
    show_default=True,
    help="How logits are stored, with the settings of the run's recipe.",
)
@click.option("--store", "source", metavar="STORE", help="The store that the run was taught from, if it has moved.")
@click.option("--overwrite", is_flag=True, help="Start anew, replacing the store that is there.")
def condense_command(run: Path, to: str, stage: int | None, encoding: str, source: str | None, overwrite: bool) -> None:
    """Write the rows that the last stage of RUN was taught, perturbed ones included, as a compact store of its own.

    Another student learns from it by kd, on these samples alone: --set store.path=STORE. Called again, it makes what is
    missing, or says that the store is complete.
    """
    from kcd_pipeline.export import export_condensed

    done = export_condensed(run, to, stage=stage, encoding=encoding, source=source, overwrite=overwrite)
    store, plan = done.store, done.plan
    rows = store.layout.views * store.layout.samples
    if not done.blocks_made:
        print_line(f"The store at {store.location} is complete: {rows:,} rows; nothing to do.")
        return
    print_line(
        f"Store {store.location}: {rows:,} rows ({store.layout.views} views of {store.layout.samples:,} of "
        f"{plan.samples:,} samples, stage {plan.stage + 1}), {human_bytes(store.inventory.bytes_on_disk())}, "
        f"{done.blocks_made} blocks made and {done.blocks_found} found."
    )


@click.command("report", short_help="Compare runs: table, HTML page, JSON, CSV, LaTeX, Markdown, or served live.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override that a study was trained with (study --set); any number of times.",
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a self-contained page with plots.")
@click.option(
    "--figures", type=click.Path(path_type=Path, file_okay=False), help="Write the charts to this folder: SVG and PDF."
)
@takes_form
@click.option("--serve", is_flag=True, help="Serve the page to this machine, and follow the runs until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Port of --serve ({PORT} if not given); 0: any free one.")
def report_command(
    runs: tuple[Path, ...],
    overrides: tuple[str, ...],
    html: Path | None,
    figures: Path | None,
    form: str | None,
    serve: bool,
    port: int | None,
) -> None:
    """Lay student runs side by side: accuracy, cost, what was kept, and what the store saved.

    RUNS are folders of runs, or folders that have some below them, or one study, whose arms and pairs are compared.
    Runs that are not finished are listed apart.
    """
    if serve and (html is not None or figures is not None or form is not None):
        other = "html" if html is not None else "figures" if figures is not None else form
        raise click.UsageError(f"--serve shows the page in a browser and writes nothing: give it without --{other}")
    if port is not None and not serve:
        raise click.UsageError("--port is the port of --serve: give both")
    source = asked_source(runs, overrides, live=serve)
    if serve:
        from kcd_pipeline.reports.live import serve as serve_page

        command = shlex.join(
            ["kcd-pipeline", "report", *map(str, runs), *(f"--set={setting}" for setting in overrides), "--serve"]
        )
        serve_page(source, command=command, port=PORT if port is None else port)
        return
    from kcd_pipeline.reports import report

    folders, frame = source()
    report(folders, frame=frame, html=html, figures=figures, form=form or "table")
