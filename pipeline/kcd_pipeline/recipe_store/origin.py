"""The origin of the store that a recipe asks for: extraction records it, distillation requires it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from kcd_pipeline.augmentation import Augmentation, build_mixing
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.models import weights_hash
from kcd_pipeline.own_parts import is_passed_object
from kcd_pipeline.recipe_store.encoding import required_encoding
from kcd_pipeline.teacher import describe_classes, describe_teacher, teacher_hash
from kcd_stores import KnowledgeStore
from kcd_stores.knowledge.description import MISSING

MIX_KEY = "mix"  # of the augmentation that a store records; stores of pictures that are not mixed lack it


def expected_origin(
    config: Config, dataset: Dataset, augmentation: Augmentation, passed_teacher: nn.Module | None = None
) -> dict[str, Any]:
    """Return the facts that any store of this recipe must have been made from, and its encoding.

    The hash of the teacher's weights is among them only if their file is there, or if the teacher was passed as an
    object, for a student needs no teacher.
    """
    teacher = describe_teacher(config.teacher) | describe_classes(config, dataset)
    if passed_teacher is not None:
        teacher["weights_sha256"] = weights_hash(passed_teacher.state_dict())
    elif config.teacher.weights.is_file() and not is_passed_object(config.teacher.model):
        teacher["weights_sha256"] = teacher_hash(config.teacher.weights)
    mixing = build_mixing(config.augmentation)
    return {
        "dataset": dataset.description,
        "augmentation": {**augmentation.describe(), **({} if mixing is None else {MIX_KEY: mixing.describe()})},
        "teacher": teacher,
        "encoding": required_encoding(config.store),
    }


def require_made_from(store: KnowledgeStore, expected: Mapping[str, Any]) -> None:
    """Raise an error if `store` was not made from what is `expected`; keys that `expected` lacks do not matter.

    Nor do the name of the data set and the source of code that makes it if its content is the same: a folder of images
    may have become shards of them.

    Raises
    ------
    StoreMismatchError
        If they differ; the message names both sides of each difference.
    """
    found, dataset = store.made_from.get("dataset"), dict(expected["dataset"])
    expected, stored = dict(expected), store.made_from.get("augmentation")
    if "augmentation" in expected and isinstance(stored, Mapping) and MIX_KEY in stored:
        expected["augmentation"] = {MIX_KEY: {"name": MISSING}, **expected["augmentation"]}
    if isinstance(found, Mapping) and found.get("fingerprint") == dataset["fingerprint"]:
        dataset = {key: value for key, value in dataset.items() if key not in ("name", "source_sha256")}
    store.require_made_from({**expected, "dataset": dataset})
