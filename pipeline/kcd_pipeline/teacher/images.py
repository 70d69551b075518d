"""The images of a recipe as its teacher was trained on them: size and normalisation from the record of its weights."""

from pathlib import Path
from typing import Any

from kcd_pipeline.config import Config, DataConfig
from kcd_pipeline.data.own_images import own_image_size, own_normalisation, takes_image_size, takes_normalisation
from kcd_pipeline.models import load_weights
from kcd_pipeline.models.external import TIMM, TORCHVISION, is_published
from kcd_pipeline.models.known_images import KnownImages, library_images
from kcd_pipeline.own_parts import is_passed_object
from kcd_pipeline.progress import say
from kcd_pipeline.teacher.description import IMAGES_KEY
from kcd_pipeline.teacher.outputs import other_outputs
from kcd_stores import KnowledgeStore, StoreError, is_vacant, masked

CLOSE = 2e-3  # numbers of a normalisation that differ by less are the same, rounded in another way


def with_teacher_images(config: Config) -> Config:
    """Return the recipe with image size and normalisation as its teacher's weights were trained with.

    They are taken where the recipe leaves them open, and only for weights that this program did not train:
    torchvision's and timm's, or any of which a store or a header of weights says it. The user is told what is taken,
    and warned where the recipe sets something else.
    """
    if not takes_normalisation(config.data):
        return config
    known = _known_images(config)
    if known is None:
        return config
    data, taken, other = config.data, {}, []
    for key, value, usual in _wanted(data, known):
        found = getattr(data, key)
        if found is not None:
            other += (
                [] if _close(found, value) else [f"data.{key} is {_shown(found)}, and there it was {_shown(value)}"]
            )
        elif not _close(usual, value):
            taken[key] = value
    if taken:
        said = ", ".join(f"data.{key} {_shown(value)}" for key, value in taken.items())
        say(f"images as {config.teacher.model} was trained on them, by {known.source}: {said}")
    if other:
        say(
            f"{config.teacher.model} was trained on other images, by {known.source}: {'; '.join(other)}. It may be "
            f"less accurate than it is known to be."
        )
    return config.model_copy(update={"data": data.model_copy(update=taken)}) if taken else config


def recorded_images(config: Config) -> dict[str, Any] | None:
    """Return the images that the teacher of a recipe was trained on, as its store records them.

    None if nothing is known of them, or they are what the data set has anyway.
    """
    known = _known_images(config) if takes_normalisation(config.data) else None
    if known is None or all(_close(usual, value) for _, value, usual in _wanted(config.data, known)):
        return None
    return {"mean": list(known.mean), "std": list(known.std), "image_size": known.image_size}


def _wanted(data: DataConfig, known: KnownImages) -> list[tuple[str, Any, Any]]:
    """Return each key of `data`, its value for a teacher, and the value that it has if the recipe leaves it open."""
    mean, std = own_normalisation(data.name) or (None, None)
    wanted: list[tuple[str, Any, Any]] = [("mean", known.mean, mean), ("std", known.std, std)]
    if known.image_size is not None and takes_image_size(data):
        wanted.append(("image_size", known.image_size, own_image_size(data.name)))
    return wanted


def _known_images(config: Config) -> KnownImages | None:
    """Return what is recorded of the images that the teacher was trained on, if it was trained elsewhere."""
    teacher, weights = config.teacher, config.teacher.weights
    if is_passed_object(teacher.model):
        return None
    if not (teacher.model.startswith((TORCHVISION, TIMM)) or teacher.init or other_outputs(config)):
        return None
    if is_published(weights):
        return library_images(teacher.model, weights)
    if not weights.is_file():
        return _of_store(config) if teacher.init is None else _of_init(config, teacher.init)
    facts = load_weights(weights).facts
    if not facts:
        return library_images(teacher.model, weights)
    if teacher.init is not None:
        return _of_init(config, teacher.init)
    return _of_header(facts, weights) if other_outputs(config) else None


def _of_init(config: Config, init: Path) -> KnownImages | None:
    """Return what is recorded of the weights that the teacher begins with."""
    facts = load_weights(init).facts if init.is_file() and not is_published(init) else {}
    return _of_header(facts, init) if facts else library_images(config.teacher.model, init)


def _of_header(facts: dict[str, Any], weights: Path) -> KnownImages | None:
    """Return what this program wrote into the header of weights."""
    if not facts.get("mean") or not facts.get("std"):
        return None
    return KnownImages(
        mean=tuple(facts["mean"]), std=tuple(facts["std"]), image_size=None, source=f"the header of {weights}"
    )


def _of_store(config: Config) -> KnownImages | None:
    """Return what the store records of the images of its teacher, whose weights are gone: a student needs none."""
    try:
        if is_vacant(config.store.path):
            return None
        found = KnowledgeStore.open(config.store.path).made_from["teacher"].get(IMAGES_KEY)
    except (StoreError, KeyError):  # which is said where the store is needed
        return None
    if found is None:
        return None
    return KnownImages(
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
        image_size=found["image_size"],
        source=f"the store at {masked(config.store.path)}",
    )


def _close(first: Any, second: Any) -> bool:
    if first is None or isinstance(first, int):
        return bool(first == second)
    return len(first) == len(second) and all(abs(a - b) < CLOSE for a, b in zip(first, second, strict=True))


def _shown(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)
