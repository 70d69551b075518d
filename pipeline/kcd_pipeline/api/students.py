"""Stage 2 from Python: students."""

from functools import partial
from typing import Any

from torch import nn

from kcd_pipeline.api.passed import read_request
from kcd_pipeline.api.recipes import Overrides, RecipeLike
from kcd_pipeline.api.runs import Run, open_run
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.distillation import Distillation
from kcd_pipeline.distillation import distill as train_student
from kcd_pipeline.models import NONE_PASSED, PassedModels
from kcd_pipeline.own_parts import is_passed_object
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import with_teacher_images
from kcd_pipeline.training.ranks import join_ranks
from kcd_pipeline.verification.against_teacher import compare_with_teacher

__all__ = ["Run", "checked_distill", "distill", "open_run"]

COMPARED_ROWS = 64  # before training: a moment even for a large teacher


def distill(
    config: RecipeLike,
    *,
    overrides: Overrides = (),
    dataset: Any = None,
    teacher: nn.Module | None = None,
    student: nn.Module | None = None,
    resume: bool = False,
    overwrite: bool = False,
    check: bool = True,
) -> Run:
    """Train the student of a recipe from the knowledge store, or go on with its run if it was interrupted.

    Called again for the same recipe, it returns the run that is there.

    Parameters
    ----------
    config
        A recipe: its name or path, a mapping of its keys, or a `Config`.
    overrides
        Changes of single keys: `{"distill.method": "kd", "seed": 1}`, or texts such as `"distill.method=kd"`.
    dataset
        Images in the place of those that the recipe names; see `train_teacher`.
    teacher
        The model that the store was extracted with, if it was passed as an object. Its weights are compared with those
        that the store records.
    student
        A model in the place of the one that the recipe names; a copy of it is trained. Its initial weights are part of
        the run's identity: to go on with the run, pass a model of the same weights.
    resume
        Require that there is a run to go on with.
    overwrite
        Start anew, replacing the run that is there.
    check
        If the teacher's weights are there, make a few rows again first, and refuse a store that no longer agrees with
        the data or the augmentation.

    Raises
    ------
    UserError, StoreUsageError
        If data or store are missing or do not match the recipe, or another run is in the place.
    FailedError
        If training diverges, or the store does not say what its teacher says.
    """
    request = read_request(config, overrides, dataset=dataset, teacher=teacher, student=student)
    done = checked_distill(
        request.config,
        resume=resume,
        overwrite=overwrite,
        check=check,
        dataset=request.dataset,
        passed=request.passed,
    )
    return Run(done.folder.path)


def checked_distill(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    check: bool = True,
    dataset: Dataset | None = None,
    passed: PassedModels = NONE_PASSED,
) -> Distillation:
    """Train the student of a config after its store was compared with its teacher, if that is there.

    It is what the command `distill` does. Every rank calls it.
    """
    trains = overwrite or not RunFolder(config.run_dir).finished
    with join_ranks(config.run) as ranks:
        if dataset is None:
            config = with_teacher_images(config)
            dataset = load_dataset(config.data)
        if trains and check and config.distill.method != "none":
            ranks.run_on_first(partial(_compare_with_teachers, config, dataset, passed.teacher))
        return train_student(config, resume=resume, overwrite=overwrite, dataset=dataset, passed=passed)


def _compare_with_teachers(config: Config, dataset: Dataset, passed: nn.Module | None) -> None:
    """Compare the store of each teacher that is there with it; the first one may have been passed as an object."""
    for part, teacher in zip(config.each_teacher(), (passed, *(None for _ in config.other_teachers)), strict=True):
        named = not is_passed_object(part.teacher.model) and part.teacher.weights.is_file()
        if named or teacher is not None:
            compare_with_teacher(part, rows=COMPARED_ROWS, dataset=dataset, teacher=teacher)
