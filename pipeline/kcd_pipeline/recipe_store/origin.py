"""The origin of the store that a recipe asks for: extraction records it, distillation requires it."""

from typing import Any

from kcd_pipeline.augmentation import Augmentation
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.recipe_store.encoding import required_encoding
from kcd_pipeline.teacher import describe_teacher, teacher_hash


def expected_origin(config: Config, dataset: Dataset, augmentation: Augmentation) -> dict[str, Any]:
    """Return the facts that any store of this recipe must have been made from, and its encoding.

    The hash of the teacher's weights is among them only if their file is there, for a student needs no teacher.
    """
    teacher = describe_teacher(config.teacher)
    if config.teacher.weights.is_file():
        teacher["weights_sha256"] = teacher_hash(config.teacher.weights)
    return {
        "dataset": dataset.description,
        "augmentation": augmentation.describe(),
        "teacher": teacher,
        "encoding": required_encoding(config.store),
    }
