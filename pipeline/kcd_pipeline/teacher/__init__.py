"""The teacher of a recipe: trained here, or loaded from the weights that the recipe names."""

from kcd_pipeline.teacher.description import IMAGES_KEY, describe_classes, describe_teacher, teacher_hash
from kcd_pipeline.teacher.images import recorded_images, with_teacher_images
from kcd_pipeline.teacher.load import build_teacher, load_teacher
from kcd_pipeline.teacher.outputs import describe_outputs, tap_features
from kcd_pipeline.teacher.train import TrainedTeacher, is_given, train_teacher

__all__ = [
    "IMAGES_KEY",
    "TrainedTeacher",
    "build_teacher",
    "describe_classes",
    "describe_outputs",
    "describe_teacher",
    "is_given",
    "load_teacher",
    "recorded_images",
    "tap_features",
    "teacher_hash",
    "train_teacher",
    "with_teacher_images",
]
