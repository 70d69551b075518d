"""The facts that identify a teacher, as files of weights and knowledge stores record them."""

from pathlib import Path
from typing import Any

from kcd_pipeline.config import TeacherConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.models import load_weights, weights_hash


def describe_teacher(teacher: TeacherConfig) -> dict[str, Any]:
    """Return the architecture of a teacher: the name of its model, and the model's arguments if it has any."""
    return {"model": teacher.model} | ({"arguments": teacher.arguments} if teacher.arguments else {})


def describe_training_data(dataset: Dataset) -> dict[str, Any]:
    """Return the classes and the normalisation of a data set, without which a teacher's logits mean nothing."""
    return {"classes": list(dataset.classes), "mean": list(dataset.mean), "std": list(dataset.std)}


def teacher_hash(path: Path) -> str:
    """Return the content hash of the weights in the file `path`."""
    return weights_hash(load_weights(path).state)
