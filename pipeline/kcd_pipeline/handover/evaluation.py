"""Evaluation of a trained model on labelled images, beside its teacher where that is there.

Letters: N images, C classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kcd_pipeline.config import Config, RunConfig, parse_config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.data.preprocessing import Preprocessing
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.handover.metrics import calibration_error, confusion_matrix, top_accuracy
from kcd_pipeline.handover.pictures import LabelledImages, TestImages, images_of_dataset, images_of_folder
from kcd_pipeline.handover.predicting import Answers, ask
from kcd_pipeline.handover.student import Student, load_student
from kcd_pipeline.own_parts import is_own_part
from kcd_pipeline.runs import RunFolder, read_settings
from kcd_pipeline.teacher import load_teacher, with_teacher_images
from kcd_pipeline.training.device import prepare_for_inference

TOP = 5


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often a teacher and a model find the same class likeliest.

    Attributes
    ----------
    teacher
        The name of the teacher's model.
    share
        Share of the images, 0..1; None if the teacher cannot be asked.
    reason
        Why it cannot; empty if it can.
    """

    teacher: str
    share: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Results of a model on N labelled images.

    Attributes
    ----------
    images
        How the images are called.
    top1, top5
        Share of images whose true class is the likeliest, and among the five likeliest; None if there are only five.
    calibration_error
        Expected calibration error over 15 bins, 0..1.
    confusion
        `[C, C]`: images of each true class (row) by the class that they were taken for (column).
    agreements
        With each teacher that a run or a recipe names.
    """

    images: str
    top1: float
    top5: float | None
    calibration_error: float
    confusion: NDArray[np.int64]
    agreements: tuple[Agreement, ...]

    @property
    def count(self) -> int:
        """N."""
        return int(self.confusion.sum())

    @property
    def class_accuracy(self) -> list[float | None]:
        """Accuracy of each class, 0..1; None for a class without images."""
        sizes = self.confusion.sum(axis=1).tolist()
        right = self.confusion.diagonal().tolist()
        return [hits / size if size else None for hits, size in zip(right, sizes, strict=True)]


def evaluate(path: Path, student: Student, *, folder: Path | None, recipe: Config | None, run: RunConfig) -> Evaluation:
    """Evaluate `student`, which was loaded from `path`, on a folder of class folders or on the test set of a recipe.

    Parameters
    ----------
    folder, recipe
        One of them may be given. Without them, the test set of the run that `path` belongs to is taken, and its own
        config names the teacher.
    run
        Its device computes.

    Raises
    ------
    UserError
        If the images are not there, or are not of the model's classes and size.
    """
    config = recipe or recorded_config(path)
    if folder is not None:
        images: LabelledImages = images_of_folder(folder, student)
    elif config is not None:
        images = images_of_dataset(data_of(config, trusted=recipe is not None), student)
    else:
        raise UserError(
            f"{student.source} does not belong to a run, so nothing says which images to take. Name a folder of class "
            f"folders or a recipe, too."
        )
    answers = _ask(student.model, student.preprocess, images, len(student.classes), run)
    taught_by = () if config is None else config.each_teacher()
    agreements = [
        _agreement(of_teacher, images, student, answers, trusted=recipe is not None, run=run)
        for of_teacher in taught_by
        if Path(student.source) != of_teacher.teacher.weights  # a teacher has nobody to agree with
    ]
    return _evaluation(images, answers, tuple(agreements), len(student.classes))


def recorded_config(path: Path) -> Config | None:
    """Return the config of the run that `path`, its folder or a file in it, belongs to; None if it belongs to none.

    Raises
    ------
    UserError, DamagedError
        If the config is not that of a run, or is not what the run wrote.
    """
    folder = RunFolder(path if path.is_dir() else path.parent)
    settings = read_settings(folder) if folder.exists else {}
    return parse_config(settings, source=str(folder.config)) if "student" in settings else None  # not a teacher's


def data_of(config: Config, *, trusted: bool) -> Dataset:
    """Return the data set of `config`.

    Parameters
    ----------
    trusted
        True if the user named the recipe. Of a config that was found in a run nothing is imported and nothing fetched:
        whoever wrote it may have named anything.

    Raises
    ------
    UserError
        If it is one of the user's own and not `trusted`, or is not there.
    """
    if is_own_part(config.data.name) and not trusted:
        raise UserError(
            f"the run's data set is {config.data.name}, whose code is not imported because a run names it. Name its "
            f"recipe, too, or images."
        )
    data = with_teacher_images(config).data
    return load_dataset(data if trusted else data.model_copy(update={"download": False}))


def _agreement(
    config: Config, images: LabelledImages, student: Student, answers: Answers, *, trusted: bool, run: RunConfig
) -> Agreement:
    """Return how often the teacher of `config` finds the class that the answers of `student` have as likeliest.

    Parameters
    ----------
    trusted
        True if the user named the recipe: then code that it names may be imported.
    """
    name = config.teacher.model
    try:
        model, preprocess = _teacher(config, images, student, trusted=trusted)
    except (UserError, FailedError) as error:
        return Agreement(teacher=name, share=None, reason=str(error))
    its_answers = _ask(model, preprocess, images, len(student.classes), run)
    return Agreement(teacher=name, share=float((its_answers.likeliest[:, 0] == answers.likeliest[:, 0]).mean()))


def _teacher(
    config: Config, images: LabelledImages, student: Student, *, trusted: bool
) -> tuple[nn.Module, Preprocessing]:
    """Return the teacher of `config` and the preprocessing that it takes.

    Raises
    ------
    UserError, FailedError
        If it is not there, or cannot be compared.
    """
    teacher = config.teacher
    if is_own_part(teacher.model) and not trusted:
        raise UserError("its code is not imported because a run names it: name the recipe, too")
    if not config.store.logits:
        raise UserError("it gives features, and its own outputs are of other classes")
    if isinstance(images, TestImages):
        return load_teacher(config, images.dataset)[0], student.preprocess
    loaded = load_student(teacher.weights)
    if loaded.classes != student.classes:
        raise UserError("its classes are others")
    return loaded.model, loaded.preprocess


def _ask(model: nn.Module, preprocess: Preprocessing, images: LabelledImages, classes: int, run: RunConfig) -> Answers:
    model, device = prepare_for_inference(model, run)
    batches = images.batches(preprocess, device)
    return ask(model, batches, count=len(images.labels), top=min(TOP, classes), device=device)


def _evaluation(
    images: LabelledImages, answers: Answers, agreements: tuple[Agreement, ...], classes: int
) -> Evaluation:
    labels, predicted = images.labels, answers.likeliest[:, 0]
    return Evaluation(
        images=images.name,
        top1=top_accuracy(answers.likeliest, labels, 1),
        top5=top_accuracy(answers.likeliest, labels, TOP) if classes > TOP else None,
        calibration_error=calibration_error(answers.probability[:, 0], predicted == labels),
        confusion=confusion_matrix(predicted, labels, classes),
        agreements=agreements,
    )


def evaluation_as_json(student: Student, found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data for machines."""
    of_class = zip(student.classes, found.confusion.sum(axis=1).tolist(), found.class_accuracy, strict=True)
    return {
        "weights": student.source,
        "model": student.name,
        "images": found.images,
        "count": found.count,
        "top1": found.top1,
        "top5": found.top5,
        "calibration_error": found.calibration_error,
        "teachers": [
            {"teacher": of.teacher, "agreement": of.share} | ({"reason": of.reason} if of.reason else {})
            for of in found.agreements
        ],
        "classes": [{"class": name, "images": size, "accuracy": share} for name, size, share in of_class],
        "confusion": found.confusion.tolist(),
    }
