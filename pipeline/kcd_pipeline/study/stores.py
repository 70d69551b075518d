"""The teachers and stores of a study, made by the commands that make them, where they are missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.progress import say
from kcd_pipeline.study.commands import Command, Ended
from kcd_pipeline.study.other_writers import OtherWriters
from kcd_pipeline.study.plan import StudyRun
from kcd_stores import KnowledgeStore, StoreError, is_vacant, masked


@dataclass(frozen=True, kw_only=True)
class FailedStep:
    """A store that could not be made.

    Attributes
    ----------
    line
        The reason, in one line.
    log
        The file of all messages of the command that failed.
    """

    line: str
    log: Path


def open_whole_store(config: Config) -> KnowledgeStore | None:
    """Return the store of a recipe if it has all views that are asked for; None if it has yet to be made.

    What is damaged counts as missing here: the command that makes stores says what is wrong with it.
    """
    try:
        if is_vacant(config.store.path):
            return None
        store = KnowledgeStore.open(config.store.path)
        store.require_views(config.store.views)
    except StoreError:
        return None
    return store


def make_stores(
    runs: Iterable[StudyRun], *, scheduler: str | None, logs: Path, others: OtherWriters
) -> dict[str, FailedStep]:
    """Make the teachers and stores that are missing for `runs`, one after the other.

    Parameters
    ----------
    scheduler
        Address of a dask cluster that makes the stores; None: this process.
    logs
        Folder to which their messages are added.
    others
        Knows whether other processes are writing there.

    Returns
    -------
    dict
        For each store that could not be made, by its path, why not.
    """
    failed: dict[str, FailedStep] = {}
    for path, sharing in _by_store(runs).items():
        place = masked(path)
        for words in _missing_steps(sharing, scheduler):
            others.wait_for(_written_by(words[0], sharing[0].config))
            say(f"{words[0]}, for the store {place}")
            log = logs / f"{words[0]}.log"
            ended = _run(words, log)
            if ended.code:
                line = f"there is no store {place}, because {words[0]} failed: {ended.line}"
                failed[path] = FailedStep(line=line, log=log)
                break
    return failed


def _by_store(runs: Iterable[StudyRun]) -> dict[str, list[StudyRun]]:
    """Return the runs that are taught from each store, by its path; one of several teachers as a run of each."""
    sharing: dict[str, list[StudyRun]] = {}
    for run in runs:
        if run.config.distill.method != "none":
            for part in run.for_each_teacher():
                sharing.setdefault(part.config.store.path, []).append(part)
    return sharing


def _missing_steps(sharing: Sequence[StudyRun], scheduler: str | None) -> list[list[str]]:
    """Return the commands that have yet to be run for the store of these runs, each as words."""
    from kcd_pipeline.models.external import is_published  # it loads torch

    run = max(sharing, key=lambda run: run.config.store.views)  # the first of those that ask for most
    whole, weights = open_whole_store(run.config) is not None, run.config.teacher.weights
    settings = [run.base, *(word for override in _of_all_seeds(run) for word in ("--set", override))]
    steps = []
    if not (whole and not any(map(_asks_teacher, sharing))) and not (weights.exists() or is_published(weights)):
        steps.append(["train-teacher", *settings])
    if not whole:
        steps.append(["extract-teacher", *settings, *(["--scheduler", scheduler] if scheduler else [])])
    return steps


def _written_by(step: str, config: Config) -> str | Path:
    """Return the place that a command writes, of which it must be the only writer."""
    from kcd_pipeline.teacher.train import training_folder  # it loads torch

    return config.store.path if step == "extract-teacher" else training_folder(config.teacher.weights).path


def _asks_teacher(run: StudyRun) -> bool:
    return run.config.distill.method == "kcd" and run.config.condense.perturb == "teacher"


def _of_all_seeds(run: StudyRun) -> tuple[str, ...]:
    """Return the overrides of a run without its seed, so that a teacher is the one that its recipe describes.

    The seed stays where teacher or store have a place of their own for each.
    """
    without = tuple(override for override in run.overrides if override.partition("=")[0].strip() != "seed")
    config = load_config(run.base, without)
    shared = (config.store.path, config.teacher.weights) == (run.config.store.path, run.config.teacher.weights)
    return without if shared else run.overrides


def _run(words: Sequence[str], log: Path) -> Ended:
    """Run a command that speaks for itself on standard error, and return its end."""
    command = Command(words, folder=Path.cwd(), log=log, aloud=True)
    try:
        ended = command.wait()
    finally:
        command.stop()
    assert ended is not None
    return ended
