"""Loading a teacher: its weights are read and must fit the recipe and the data set."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import copy_of_passed, fill_model, load_weights, model_for, weights_hash
from kcd_pipeline.models.external import is_published, published_state, without_pretrained
from kcd_pipeline.progress import say
from kcd_pipeline.teacher.description import describe_training_data
from kcd_pipeline.training.device import seed_generators


def load_teacher(config: Config, dataset: Dataset, passed: nn.Module | None = None) -> tuple[nn.Module, str]:
    """Return the teacher of a recipe, on the CPU, in evaluation mode, and the content hash of the weights that it has.

    Parameters
    ----------
    passed
        A teacher that was passed as an object, in the place of the recipe's: a copy of it is returned.

    Raises
    ------
    UserError
        If the weights are missing, belong to another architecture or another number of classes, or were trained on
        images that were normalised in another way.
    FailedError
        If published weights cannot be fetched.
    """
    path, teacher = config.teacher.weights, config.teacher
    if passed is not None:
        shape, classes = dataset.image_shape, len(dataset.classes)
        model = copy_of_passed(passed, image_shape=shape, classes=classes, part="teacher").eval()
        return model, weights_hash(model.state_dict())
    if is_published(path):
        model = build_teacher(config, dataset, published_state(teacher.model, path, teacher.arguments))
        return model, weights_hash(model.state_dict())
    weights = load_weights(path)
    _require_trained_for(config, dataset, weights.facts)
    model = build_teacher(config, dataset, weights.state, wrappers=weights.wrappers)
    return model, weights_hash(weights.state)


def build_teacher(
    config: Config, dataset: Dataset, state: Mapping[str, Tensor], *, wrappers: tuple[str, ...] = ()
) -> nn.Module:
    """Return the teacher of a recipe with the weights `state`, on the CPU, in evaluation mode.

    The user is told what was taken off the names in `state`: `wrappers` when they were read, and prefixes here.

    Raises
    ------
    UserError
        If the weights do not fit the model.
    """
    teacher = config.teacher
    seed_generators(config.seed)  # a constructor may draw what is in no state dict
    model = model_for(
        teacher.model,
        image_shape=dataset.image_shape,
        classes=len(dataset.classes),
        arguments=without_pretrained(teacher.model, teacher.arguments),
    )
    name = f"{teacher.model} for {len(dataset.classes)} classes"
    taken_off = (*wrappers, *fill_model(model, state, source=teacher.weights, name=name))
    if taken_off:
        say(f"{teacher.weights}: taken off the names of its entries: {', '.join(taken_off)}")
    return model.eval()


def _require_trained_for(config: Config, dataset: Dataset, facts: Mapping[str, Any]) -> None:
    """Raise UserError if `facts`, recorded beside the weights, name another model or other data than the recipe.

    Weights that were not trained by this program may have none of these facts.
    """
    path, teacher = config.teacher.weights, config.teacher
    trained_as = facts.get("model", teacher.model)
    if trained_as != teacher.model:
        raise UserError(
            f"the weights in {path} are those of a {trained_as}, but teacher.model is {teacher.model}. "
            f"Set one to match the other."
        )
    trained_with = facts.get("arguments", {})
    if facts and trained_with != teacher.arguments:
        raise UserError(
            f"the weights in {path} are those of a {trained_as} with the arguments {trained_with}, but "
            f"teacher.arguments is {teacher.arguments}. Set one to match the other."
        )
    for key, expected in describe_training_data(dataset).items():
        if key in facts and facts[key] != expected:
            raise UserError(
                f"the teacher in {path} was trained on another data set: {key} found {facts[key]}, expected {expected} "
                f"as in {dataset.name}. Use the data that it was trained on, or another teacher."
            )
