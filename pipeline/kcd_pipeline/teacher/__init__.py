"""The teacher of a recipe: trained here, or loaded from the weights that the recipe names."""

from kcd_pipeline.teacher.description import describe_teacher, teacher_hash
from kcd_pipeline.teacher.load import build_teacher, load_teacher
from kcd_pipeline.teacher.train import TrainedTeacher, is_given, train_teacher

__all__ = [
    "TrainedTeacher",
    "build_teacher",
    "describe_teacher",
    "is_given",
    "load_teacher",
    "teacher_hash",
    "train_teacher",
]
