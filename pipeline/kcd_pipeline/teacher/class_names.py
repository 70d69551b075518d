"""The names of a teacher's own classes: from the header of its weights, or those of an ImageNet.

Letters: K outputs of the teacher.
"""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.config import TeacherConfig
from kcd_pipeline.models.external import TORCHVISION, is_published

CLASSES_OF_IMAGENET = 1000


def class_names(teacher: TeacherConfig, outputs: int, facts: Mapping[str, Any]) -> tuple[list[list[str]], str] | None:
    """Return all names of each of a teacher's K classes, and where they are from, for messages.

    They are those in the header of its weights, in torchvision's record of published weights, or else, if the teacher
    has as many outputs as a published ImageNet has classes, those of that ImageNet in its usual order: for 1,000
    classes torchvision's names, and with timm the WordNet ids and synonyms too.

    Parameters
    ----------
    outputs
        K.
    facts
        The facts in the header of its weights; empty if it has none.

    Returns
    -------
    tuple[list[list[str]], str] | None
        None if they are not known.
    """
    if len(facts.get("classes", ())) == outputs:
        labels = facts.get("label_names") or facts["classes"]
        return [[str(name), str(label)] for name, label in zip(facts["classes"], labels, strict=True)], "its header"
    published = _published_names(teacher)
    if published is not None and len(published) == outputs:
        return [[name] for name in published], "torchvision's record of its weights"
    found = _imagenet_names(outputs)
    return None if found is None else (found, f"ImageNet's {outputs:,} classes in their usual order")


def _published_names(teacher: TeacherConfig) -> list[str] | None:
    if not (teacher.model.startswith(TORCHVISION) and is_published(teacher.weights)):
        return None
    import torchvision

    try:
        known = torchvision.models.get_model_weights(teacher.model.removeprefix(TORCHVISION))
        return list(known[teacher.weights.parts[1]].meta["categories"])
    except (ValueError, KeyError):
        return None


def _imagenet_names(outputs: int) -> list[list[str]] | None:
    """Return the names of the ImageNet of so many classes: torchvision's, and timm's where it is installed."""
    names = _names_of_torchvision() if outputs == CLASSES_OF_IMAGENET else []
    try:
        from timm.data import ImageNetInfo, infer_imagenet_subset
    except ModuleNotFoundError:
        return names or None
    subset = infer_imagenet_subset({"num_classes": outputs})
    if subset is None:
        return names or None
    info = ImageNetInfo(subset)
    names = names or [[] for _ in range(outputs)]
    for output, known in enumerate(names):
        known += [info.index_to_label_name(output), *info.index_to_description(output).split(", ")]
    return names


def _names_of_torchvision() -> list[list[str]]:
    """Return torchvision's names of ImageNet's 1,000 classes, in their order."""
    from torchvision.models import ResNet18_Weights

    return [[name] for name in ResNet18_Weights.DEFAULT.meta["categories"]]
