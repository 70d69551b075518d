"""The cost of students and stores that are still to be made, from short trials in folders that are removed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kcd_pipeline.config import StudentConfig, TeacherConfig, as_override
from kcd_pipeline.progress import console
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.study.plan import StudyPlan, StudyRun

TRIAL_BATCHES = 16
FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of training students: seconds a row, bytes a run, and words that say where these come from."""

    seconds_of_row: float
    bytes_of_run: float
    source: str


@dataclass(frozen=True, kw_only=True)
class StoreCost:
    """The cost of a store that is still to be made.

    Attributes
    ----------
    rows
        Its rows.
    bytes
        Its size on disk.
    most
        True if `bytes` is about the most that it can take: encoded rows before compression, of a teacher that is not
        trained yet.
    teacher_seconds, seconds
        Time to train its teacher, 0 for one that is there, and to extract.
    """

    rows: int
    bytes: int
    most: bool
    teacher_seconds: float
    seconds: float


def try_student(plan: StudyPlan, samples: int) -> Cost:
    """Return the cost of students as the first arm has it, from training one on a few batches.

    Raises
    ------
    UserError
        If its data cannot be read.
    """
    run = plan.runs[0]
    with tempfile.TemporaryDirectory() as folder:
        rows, seconds, trial = _train_briefly(plan, run, samples, None, Path(folder))
        later_epochs = 3 * FLOAT_BYTES * samples * (run.config.distill.epochs - 1)  # values, frequencies, latest worths
        return Cost(
            seconds_of_row=seconds / rows,
            bytes_of_run=bytes_below(trial) + later_epochs,
            source=f"a trial of {rows:,} rows",
        )


def try_store(plan: StudyPlan, run: StudyRun, samples: int) -> StoreCost:
    """Return the cost of the store of a run, whose teacher is trained on a few batches if it is not there.

    Raises
    ------
    UserError, FailedError
        If data or weights cannot be read, or a row cannot be stored.
    """
    from kcd_pipeline.extraction import estimate  # it loads torch
    from kcd_pipeline.models.external import is_published

    teacher = run.config.teacher
    if teacher.weights.is_file() or is_published(teacher.weights):
        found = estimate(run.config)
        return StoreCost(rows=found.rows, bytes=found.bytes, most=False, teacher_seconds=0, seconds=found.seconds)
    with tempfile.TemporaryDirectory() as folder:
        rows, seconds, trial = _train_briefly(plan, run, samples, teacher, Path(folder))
        weights = teacher.model_copy(update={"weights": RunFolder(trial).weights})
        found = estimate(run.config.model_copy(update={"teacher": weights}))
    return StoreCost(
        rows=found.rows,
        bytes=found.most_bytes,
        most=True,
        teacher_seconds=seconds / rows * samples * teacher.epochs,
        seconds=found.seconds,
    )


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files below `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _train_briefly(
    plan: StudyPlan, run: StudyRun, samples: int, teacher: TeacherConfig | None, folder: Path
) -> tuple[int, float, Path]:
    """Train the student of a run, or its teacher, on a few batches below `folder`.

    Returns
    -------
    tuple
        The number of rows that it was trained on, the seconds that it took, and the run folder.
    """
    from kcd_pipeline.distillation import distill  # it loads torch

    batch_size = run.config.distill.batch_size if teacher is None else teacher.batch_size
    rows = min(TRIAL_BATCHES * batch_size, samples)
    trial = (
        "distill.method=none",  # which needs no store, and costs a step nearly as much as the others
        f"distill.batch_size={batch_size}",
        "distill.epochs=1",
        f"distill.rows={rows}",
        "data.test_limit_per_class=1",
        as_override("run.dir", folder / "trial"),
    )
    config = plan.study.recipe.config((*run.overrides, *trial))
    if teacher is not None:
        in_its_place = StudentConfig(model=teacher.model, arguments=teacher.arguments)
        config = config.model_copy(update={"student": in_its_place})
    with _unheard():  # the accuracy of a trial would be taken for a result
        done = distill(config)
    return rows, done.summary["seconds"], done.folder.path


@contextmanager
def _unheard() -> Iterator[None]:
    """Let no line of progress be printed inside the block."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
