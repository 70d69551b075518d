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
    agreement
        Share of images for which teacher and model find the same class likeliest; None if the teacher is not there.
    teacher
        The teacher's name, or why it is not there; None if nothing says that there is one.
    """

    images: str
    top1: float
    top5: float | None
    calibration_error: float
    confusion: NDArray[np.int64]
    agreement: float | None
    teacher: str | None

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
    teacher, its_name = _teacher(config, images, student, trusted=recipe is not None)
    its_answers = None if teacher is None else _ask(*teacher, images, len(student.classes), run)
    return _evaluation(images, answers, its_answers, its_name, len(student.classes))


def recorded_config(path: Path) -> Config | None:
    """Return the config of the run that `path`, its folder or a file in it, belongs to; None if it belongs to none.

    Raises
    ------
    UserError, DamagedError
        If the config is not that of a run, or is not what the run wrote.
    """
    folder = RunFolder(path if path.is_dir() else path.parent)
    return parse_config(read_settings(folder), source=str(folder.config)) if folder.exists else None


def data_of(config: Config, *, trusted: bool) -> Dataset:
    """Return the data set of `config`.

    Parameters
    ----------
    trusted
        True if the user named the recipe. Of a config that was found in a run nothing is imported: whoever wrote it may
        have named anything.

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
    return load_dataset(with_teacher_images(config).data)


def _teacher(
    config: Config | None, images: LabelledImages, student: Student, *, trusted: bool
) -> tuple[tuple[nn.Module, Preprocessing] | None, str | None]:
    """Return the teacher of `config` with its preprocessing, if it can be had, and its name or why it cannot.

    Parameters
    ----------
    trusted
        True if the user named the recipe: then code that it names may be imported.
    """
    if config is None or Path(student.source) == config.teacher.weights:
        return None, None
    name, weights, teachers = config.teacher.model, config.teacher.weights, 1 + len(config.other_teachers)
    label = f"{name} (the first of {teachers})" if teachers > 1 else name
    if is_own_part(name) and not trusted:
        return None, f"not known: {name} is somebody's own; name the recipe, too"
    if not config.store.logits:
        return None, f"not known: {name} gives features, and its own outputs are of other classes"
    try:
        if isinstance(images, TestImages):
            return (load_teacher(config, images.dataset)[0], student.preprocess), label
        loaded = load_student(weights)
    except (UserError, FailedError) as error:
        return None, f"not known: {error}"
    if loaded.classes != student.classes:
        return None, f"not known: {name} has other classes"
    return (loaded.model, loaded.preprocess), label


def _ask(model: nn.Module, preprocess: Preprocessing, images: LabelledImages, classes: int, run: RunConfig) -> Answers:
    model, device = prepare_for_inference(model, run)
    batches = images.batches(preprocess, device)
    return ask(model, batches, count=len(images.labels), top=min(TOP, classes), device=device)


def _evaluation(
    images: LabelledImages, answers: Answers, its_answers: Answers | None, teacher: str | None, classes: int
) -> Evaluation:
    labels, predicted = images.labels, answers.likeliest[:, 0]
    return Evaluation(
        images=images.name,
        top1=top_accuracy(answers.likeliest, labels, 1),
        top5=top_accuracy(answers.likeliest, labels, TOP) if classes > TOP else None,
        calibration_error=calibration_error(answers.probability[:, 0], predicted == labels),
        confusion=confusion_matrix(predicted, labels, classes),
        agreement=None if its_answers is None else float((its_answers.likeliest[:, 0] == predicted).mean()),
        teacher=teacher,
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
        "agreement": found.agreement,
        "teacher": found.teacher,
        "classes": [{"class": name, "images": size, "accuracy": share} for name, size, share in of_class],
        "confusion": found.confusion.tolist(),
    }
