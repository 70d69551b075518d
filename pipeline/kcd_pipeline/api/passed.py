"""Data set and models that a caller passes as objects, and the config that records them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from kcd_pipeline.api.recipes import Overrides, RecipeLike, load_config, override_texts, read_recipe
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import PassedModels, recorded_model
from kcd_pipeline.teacher import with_teacher_images


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """All that a stage is asked to work on.

    Attributes
    ----------
    config
        The recipe; where an object was passed, it records the object's class.
    dataset
        The data set, loaded.
    passed
        The models that were passed.
    """

    config: Config
    dataset: Dataset
    passed: PassedModels


def read_request(
    config: RecipeLike,
    overrides: Overrides,
    *,
    dataset: Any = None,
    teacher: nn.Module | None = None,
    student: nn.Module | None = None,
) -> Request:
    """Return what a stage is asked to work on; see the functions of `kcd_pipeline` for the parameters.

    Raises
    ------
    UserError
        If the recipe is wrong, its data are missing, or an object is of another kind than expected.
    """
    recorded: dict[str, dict[str, Any]] = {}
    for section, model in (("teacher", teacher), ("student", student)):
        if model is not None:
            _require_module(section, model)
            recorded[section] = recorded_model(model)
    if recorded:
        settings = read_recipe(config).config(override_texts(overrides), recorded)
    else:
        settings = load_config(config, overrides)
    if dataset is None:
        settings = with_teacher_images(settings)
    return Request(
        config=settings,
        dataset=load_dataset(settings.data) if dataset is None else dataset,
        passed=PassedModels(teacher=teacher, student=student),
    )


def _require_module(section: str, model: object) -> None:
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{section}: found an object of type {type(model).__name__}, expected a torch.nn.Module. To name a model, "
            f"set {section}.model in the recipe or in overrides."
        )


def as_pair(dataset: object) -> tuple[Any, Any]:
    """Return training and test set of a pair; raise UserError for anything else."""
    if isinstance(dataset, Sequence) and not isinstance(dataset, str) and len(dataset) == 2:
        return dataset[0], dataset[1]
    raise UserError(
        f"dataset: found an object of type {type(dataset).__name__}, expected a kcd_pipeline.data.Dataset, or a pair "
        f"(train, test) of torch map-style datasets"
    )
