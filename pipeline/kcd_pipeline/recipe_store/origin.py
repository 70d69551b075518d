"""The origin of the store that a recipe asks for: extraction records it, distillation requires it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from kcd_pipeline.augmentation import Augmentation, build_mixing
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.models import weights_hash
from kcd_pipeline.own_parts import is_passed_object
from kcd_pipeline.recipe_store.encoding import AUTO, required_encoding
from kcd_pipeline.teacher import describe_classes, describe_teacher, teacher_hash
from kcd_stores import KnowledgeStore, StoreMismatchError
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
    may have become shards of them. Where the encoding is `auto`, a store in any encoding will do whose divergence, as
    measured when it was made, is within the limit.

    Raises
    ------
    StoreMismatchError
        If they differ; the message names both sides of each difference.
    """
    encoding = dict(expected.get("encoding", {}))
    if encoding.get("name") == AUTO:
        del encoding["name"]
        _require_within(store, encoding.pop("max_kl"))
        expected = {**expected, "encoding": encoding}
    found, dataset = store.made_from.get("dataset"), dict(expected["dataset"])
    expected, stored = dict(expected), store.made_from.get("augmentation")
    if "augmentation" in expected and isinstance(stored, Mapping) and MIX_KEY in stored:
        expected["augmentation"] = {MIX_KEY: {"name": MISSING}, **expected["augmentation"]}
    if isinstance(found, Mapping) and found.get("fingerprint") == dataset["fingerprint"]:
        dataset = {key: value for key, value in dataset.items() if key not in ("name", "source_sha256")}
    store.require_made_from({**expected, "dataset": dataset})


def _require_within(store: KnowledgeStore, max_kl: float) -> None:
    """Raise StoreMismatchError if the rows of `store` are known to diverge by more than `max_kl` from the teacher's."""
    chosen = [one["mean_kl"] for one in (store.trial or {}).get("candidates", ()) if one["chosen"]]
    measured = chosen[0] if chosen else [store.fidelity["mean_kl"]] if store.fidelity is not None else []
    if all(found is not None and found <= max_kl for found in measured):
        return
    divergence = "an unbounded divergence" if None in measured else f"a mean KL of up to {max(measured):.1e} nats"
    raise StoreMismatchError(
        f"the store at {store.location} holds {store.encoding_label}, whose rows have {divergence} from the teacher's, "
        f"but store.encoding is auto with store.max_kl {max_kl:g}. Raise store.max_kl, name that encoding in "
        f"store.encoding, or set store.path to another place."
    )
