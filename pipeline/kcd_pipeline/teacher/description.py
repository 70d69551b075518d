"""The facts that identify a teacher, as files of weights and knowledge stores record them."""

from pathlib import Path
from typing import Any

from kcd_pipeline.config import Config, TeacherConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.models import load_weights, weights_hash
from kcd_pipeline.teacher.class_map import choices_by_class

IMAGES_KEY = "images"  # under which a store records the images that its teacher was trained on


def describe_teacher(teacher: TeacherConfig) -> dict[str, Any]:
    """Return the architecture of a teacher: the name of its model, and the model's arguments if it has any."""
    return {"model": teacher.model} | ({"arguments": teacher.arguments} if teacher.arguments else {})


def describe_classes(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Return what the recipe names of the teacher's classes for each class of the data set; `{}` for its own.

    Raises
    ------
    UserError
        If a class has no entry, or an entry belongs to none.
    """
    given = config.teacher.classes
    return {} if given is None else {"classes": choices_by_class(given, dataset)}


def describe_training_data(dataset: Dataset) -> dict[str, Any]:
    """Return the classes and the normalisation of a data set, without which a teacher's logits mean nothing."""
    return {"classes": list(dataset.classes), "mean": list(dataset.mean), "std": list(dataset.std)}


def teacher_hash(path: Path) -> str:
    """Return the content hash of the weights in the file `path`."""
    return weights_hash(load_weights(path).state)
