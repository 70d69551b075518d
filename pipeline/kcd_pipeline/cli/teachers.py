"""The commands of stage 1: train-teacher and extract-teacher."""

from typing import TYPE_CHECKING

import click

from kcd_pipeline.cli.asked import read_asked
from kcd_pipeline.cli.options import takes_config
from kcd_pipeline.config import Config
from kcd_pipeline.progress import human_seconds
from kcd_pipeline.terminal import print_line
from kcd_stores import human_bytes, masked, trial_lines

if TYPE_CHECKING:  # at run time this would load torch
    from kcd_pipeline.extraction import Extraction


@click.command("train-teacher", short_help="Train the teacher of a recipe.")
@takes_config
@click.option("--overwrite", is_flag=True, help="Start anew, replacing weights and training that are there.")
def train_teacher_command(config: str, overrides: tuple[str, ...], overwrite: bool) -> None:
    """Train the teacher of CONFIG and write its weights (safetensors, with its accuracy in the header).

    Of several teachers, each is trained, one after the other.

    Called again, it goes on from the last whole epoch, or says that the teacher is there.
    """
    settings = read_asked(config, overrides)
    from kcd_pipeline.teacher import is_given, train_teacher

    for part in settings.each_teacher():
        if settings.other_teachers and is_given(part.teacher.weights):
            print_line(f"Teacher {part.teacher.model}: its weights are given, not trained here: {part.teacher.weights}")
            continue
        trained = train_teacher(part, overwrite=overwrite)
        state = "was trained already" if trained.already else f"trained in {trained.seconds:.0f} s"
        print_line(
            f"Teacher {part.teacher.model}: {trained.test_accuracy:.2%} on the test set, {state}. "
            f"Weights: {trained.weights}"
        )


@click.command("extract-teacher", short_help="Write the teacher's knowledge into a store.")
@takes_config
@click.option("--overwrite", is_flag=True, help="Start anew, replacing the store that is there.")
@click.option("--dry-run", is_flag=True, help="Estimate the cost from a short measured trial; write nothing.")
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

    Of several teachers, each has a store of its own; each image is decoded and augmented once for all of them. Several
    workers make the stores one after the other.

    Called again, it makes what is missing, or says that the store is complete. Any number of workers, which may come
    and go, write the same store as one process.
    """
    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers starts a cluster and --scheduler uses one that runs: give one of them")
    if dry_run and (workers is not None or scheduler is not None):
        raise click.UsageError("--dry-run is a trial in this process: leave --workers and --scheduler out")
    settings = read_asked(config, overrides)
    from kcd_pipeline.extraction import Cluster, extract_teachers

    parts = settings.each_teacher()
    if dry_run:
        for part in parts:
            _estimate(part)
        return
    alone = workers is None and scheduler is None
    cluster = None if alone else Cluster(workers=workers, scheduler=scheduler)
    for part, done in zip(parts, extract_teachers(parts, overwrite=overwrite, cluster=cluster), strict=True):
        _print_done(part, done)


def _estimate(settings: Config) -> None:
    from kcd_pipeline.extraction import estimate

    cost = estimate(settings)
    if cost.encoding_trial is not None:
        for line in trial_lines(cost.encoding_trial.as_attribute()):
            print_line(line)
    print_line(
        f"{cost.rows:,} rows ({settings.store.views} views), about {human_bytes(cost.bytes)} in {cost.files:,} "
        f"files, about {human_seconds(cost.seconds)}; from a trial of {cost.trial_rows:,} rows. Nothing was "
        f"written to {masked(settings.store.path)}."
    )


def _print_done(settings: Config, done: "Extraction") -> None:
    store = done.store
    rows = settings.store.views * store.layout.samples
    if not done.blocks_made:
        print_line(
            f"The store at {store.location} is complete: {rows:,} rows in {done.blocks_found} blocks; nothing to do."
        )
        return
    print_line(
        f"Store {store.location}: {rows:,} rows ({settings.store.views} views of {store.layout.samples:,} samples), "
        f"{human_bytes(store.inventory.bytes_on_disk())}, {store.seconds():.0f} s of teacher, "
        f"{done.blocks_made} blocks made and {done.blocks_found} found."
    )
