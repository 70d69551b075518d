"""What a knowledge store of a recipe is made from: written by extraction, demanded by distillation."""

import platform
from typing import Any

import numpy
import PIL
import torch
import torchvision
import zarr

from kcd_pipeline import __version__
from kcd_pipeline.augmentation import Augmentation
from kcd_pipeline.config import Config, StoreConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.teacher import describe_teacher, teacher_hash


def expected_origin(config: Config, dataset: Dataset, augmentation: Augmentation) -> dict[str, Any]:
    """What any store of this recipe must have been made from.

    The teacher's weights are compared where they are at hand; a student needs none.
    """
    teacher = describe_teacher(config.teacher)
    if config.teacher.weights.is_file():
        teacher["weights_sha256"] = teacher_hash(config.teacher.weights)
    return {
        "dataset": dataset.description,
        "augmentation": augmentation.describe(),
        "teacher": teacher,
        "encoding": wanted_encoding(config.store),
    }


def wanted_encoding(config: StoreConfig) -> dict[str, Any]:
    """The recipe's encoding, and that of features where it wants any; a store may hold features that no one wants."""
    features = {"features": {"encoding": {"name": config.features_encoding}}} if config.features else {}
    return {"name": config.encoding, **encoding_settings(config), **features}


def encoding_settings(config: StoreConfig) -> dict[str, Any]:
    """The settings of the recipe's encoding, as far as the recipe gives them: int8's range may come from a trial."""
    if config.encoding == "int8" and config.int8_range is not None:
        return {"low": config.int8_range[0], "high": config.int8_range[1]}
    own = {"bitround": {"keep_bits": config.keep_bits}, "topk": {"k": config.top_k}, "sample": {"draws": config.draws}}
    return own.get(config.encoding, {})


def software() -> dict[str, str]:
    """Versions that a row's last bits may depend on."""
    return {
        "kcd-pipeline": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "zarr": zarr.__version__,
    }
