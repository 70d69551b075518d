"""Data set and models that a caller passes as objects, and the config that records them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from kcd_pipeline.api.recipes import Overrides, RecipeLike, load_config, override_texts, read_recipe
from kcd_pipeline.config import DATA_NAMES, Config
from kcd_pipeline.data import Dataset, dataset_from, load_dataset
from kcd_pipeline.data.completion import complete
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import NONE_PASSED, PassedModels, recorded_model
from kcd_pipeline.own_parts import is_own_part, passed_name
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
    recorded: dict[str, dict[str, Any]] = {} if dataset is None else {"data": _recorded_data(dataset)}
    for section, model in (("teacher", teacher), ("student", student)):
        if model is not None:
            _require_module(section, model)
            recorded[section] = recorded_model(model)
    if recorded:
        settings = read_recipe(config).config(override_texts(overrides), recorded)
    else:
        settings = load_config(config, overrides)
    return _request(settings, dataset, PassedModels(teacher=teacher, student=student))


def requests_by_teacher(request: Request, dataset: object) -> Iterator[Request]:
    """Yield what the stages of each teacher are asked to work on, the first one's first; a passed one is the first.

    Each has the images as its teacher was trained on them, unless `dataset` was passed.
    """
    yield replace(request, config=request.config.for_teacher(0))
    for part in request.config.each_teacher()[1:]:
        yield _request(part, dataset, NONE_PASSED)


def _request(config: Config, dataset: object, passed: PassedModels) -> Request:
    config = with_teacher_images(config)
    return Request(config=config, dataset=loaded_dataset(dataset, config), passed=passed)


def _recorded_data(dataset: object) -> dict[str, Any]:
    """Return the keys by which a recipe records a data set that was passed.

    A `Dataset` that has the name of a data set is that one, loaded already.
    """
    if isinstance(dataset, Dataset):
        known = dataset.name in DATA_NAMES or is_own_part(dataset.name)
        return {"name": dataset.name if known else passed_name(dataset)}
    train, _, validation = _splits(dataset)
    return {"name": passed_name(train), **({} if validation is None else {"validation": "object"})}


def loaded_dataset(dataset: object, settings: Config) -> Dataset:
    """Return the data set that was passed, or that of the recipe if it is None."""
    if dataset is None:
        return load_dataset(settings.data)
    if isinstance(dataset, Dataset):
        wanted = settings.data.validation is not None and dataset.validation is None
        return complete(settings.data, dataset, can_be_scaled=False) if wanted else dataset
    train, test, validation = _splits(dataset)
    return dataset_from(train, test, validation=validation, settings=settings.data)


def _splits(dataset: object) -> tuple[Any, Any, Any]:
    """Return training, test and validation images (or None) that were passed; raise UserError for anything else."""
    if isinstance(dataset, tuple | list) and len(dataset) in (2, 3):
        return dataset[0], dataset[1], dataset[2] if len(dataset) == 3 else None
    raise UserError(
        f"dataset: found an object of type {type(dataset).__name__}, expected a kcd_pipeline.data.Dataset, or a tuple "
        f"(train, test) or (train, test, validation) of torch map-style datasets"
    )


def _require_module(section: str, model: object) -> None:
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{section}: found an object of type {type(model).__name__}, expected a torch.nn.Module. To name a model, "
            f"set {section}.model in the recipe or in overrides."
        )
