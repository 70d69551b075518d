"""The command study, and the study that a report is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kcd_pipeline.config import is_study, load_study, study_names
from kcd_pipeline.terminal import print_line

if TYPE_CHECKING:  # at run time this would load the report
    from kcd_pipeline.reports.compute import StudyFrame
    from kcd_pipeline.reports.live import Source


def complete_study(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete STUDY in a shell: by the names of shipped studies, or by files if no name begins so."""
    from click.shell_completion import CompletionItem

    names = [CompletionItem(name) for name in study_names() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


@click.command("study", short_help="Answer a question with many students, and report it.")
@click.argument("study", shell_complete=complete_study)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override section.key=value in every arm; any number of times.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    help="Train N students at a time; as many as the machine bears if not given.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Train them on the workers of a dask cluster (tcp://host:8786).")
@click.option("--dry-run", is_flag=True, help="Say runs, rows, bytes and hours; write nothing.")
def study_command(
    study: str, overrides: tuple[str, ...], jobs: int | None, scheduler: str | None, dry_run: bool
) -> None:
    """Train every arm of STUDY with every seed, and end with a report that states the finding.

    STUDY is a YAML file, or the name of a shipped study such as studies/digits: a base recipe, the arms that vary it,
    seeds, and the pairs of arms to compare (docs/how-to/studies.md). The teacher and the store are made if they are
    missing.

    Called again, it goes on from where it was stopped, or makes what an edited file has added. A run that fails is
    named at the end and does not stop the others.
    """
    if dry_run and scheduler is not None:
        raise click.UsageError("--dry-run estimates the time on this machine: leave --scheduler out")
    from kcd_pipeline.study import plan_study

    plan = plan_study(load_study(study, overrides))
    if dry_run:
        from kcd_pipeline.study.dry_run import dry_run_lines

        for line in dry_run_lines(plan, jobs=jobs):
            print_line(line)
        return
    from kcd_pipeline.study.runner import run_study

    outcome = run_study(plan, jobs=jobs, scheduler=scheduler)
    outcome.require_all()


def asked_source(paths: Sequence[Path], overrides: Sequence[str] = (), *, live: bool) -> "Source":
    """Return a function that finds the runs that a report was asked for, and the frame of the study if it was for one.

    Parameters
    ----------
    paths
        Folders of runs, which are returned as they are, or a study alone.
    overrides
        Texts of the form `section.key=value` that the study was trained with.
    live
        True if the study may have no run yet. If not, the function raises UserError before one has been begun.

    Raises
    ------
    UserError
        If the study is wrong.
    """
    if not any(is_study(path) for path in paths):
        if overrides:
            raise click.UsageError("--set is for a study, as it was given to the study command: runs have their own")
        return lambda: (paths, None)
    if len(paths) > 1:
        raise click.UsageError("a study has all its runs: give one study alone, or folders of runs")
    from kcd_pipeline.study import plan_study, require_begun, study_frame

    plan = plan_study(load_study(paths[0], overrides))

    def find() -> "tuple[Sequence[Path], StudyFrame | None]":
        folders, frame = study_frame(plan)
        if not live:
            require_begun(plan, folders)
        return folders, frame

    return find
