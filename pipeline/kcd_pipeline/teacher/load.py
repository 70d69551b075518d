"""Loading a teacher: its weights are read and must fit the recipe and the data set."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import Weights, build_model, copy_of_passed, fill_model, load_weights, weights_hash
from kcd_pipeline.models.external import is_published, published_state, timm_state, without_pretrained
from kcd_pipeline.models.heads import file_outputs, last_layers
from kcd_pipeline.models.merged_outputs import whole_model
from kcd_pipeline.models.trial import require_logits
from kcd_pipeline.models.wrappers import without_holders
from kcd_pipeline.progress import say
from kcd_pipeline.teacher.description import describe_training_data
from kcd_pipeline.teacher.outputs import other_outputs, outputs_of_model, outputs_of_weights, with_classes
from kcd_pipeline.training.device import seed_generators


def load_teacher(config: Config, dataset: Dataset, passed: nn.Module | None = None) -> tuple[nn.Module, str]:
    """Return the teacher of a recipe, on the CPU, in evaluation mode, and the content hash of the weights that it has.

    Its outputs are logits of the data set's classes; or whatever it gives, if the store holds features alone.

    Parameters
    ----------
    passed
        A teacher that was passed as an object, in the place of the recipe's: a copy of it is returned.

    Raises
    ------
    UserError
        If the weights are missing, belong to another architecture, or have other classes than the recipe says, or were
        trained on images that were normalised in another way.
    FailedError
        If published weights cannot be fetched.
    """
    path, teacher = config.teacher.weights, config.teacher
    if passed is not None:
        shape, outputs = dataset.image_shape, len(dataset.classes)
        if other_outputs(config):
            outputs = outputs_of_model(passed, shape)
        model = copy_of_passed(passed, image_shape=shape, classes=outputs, part="teacher").eval()
        return with_classes(config, dataset, model, outputs), weights_hash(model.state_dict())
    if is_published(path):
        published = Weights(state=published_state(teacher.model, path, teacher.arguments), facts={})
        model = build_teacher(config, dataset, published)
        return model, weights_hash(whole_model(model).state_dict())
    weights = load_weights(path)
    _require_trained_for(config, dataset, weights.facts)
    return build_teacher(config, dataset, weights), weights_hash(weights.state)


def build_teacher(config: Config, dataset: Dataset, weights: Weights) -> nn.Module:
    """Return the teacher of a recipe with these `weights`, on the CPU, in evaluation mode; see `load_teacher`.

    The user is told what was taken off the names of its entries.

    Raises
    ------
    UserError
        If the weights do not fit the model.
    """
    teacher, outputs = config.teacher, len(dataset.classes)
    arguments = without_pretrained(teacher.model, teacher.arguments)
    if other_outputs(config):
        outputs = outputs_of_weights(config, dataset, weights)
        arguments.pop("num_classes", None)
    seed_generators(config.seed)  # a constructor may draw what is in no state dict
    model = build_model(teacher.model, channels=dataset.channels, classes=outputs, arguments=arguments)
    if outputs:
        require_logits(model, teacher.model, dataset.image_shape, outputs)
    _fill(model, weights, config, outputs)
    return with_classes(config, dataset, model.eval(), outputs, weights.facts)


def _fill(model: nn.Module, weights: Weights, config: Config, outputs: int) -> None:
    """Fill `model` with weights, in place; say what was taken off the names of entries."""
    teacher = config.teacher
    state, prefixes = without_holders(weights.state, model.state_dict())
    state = timm_state(teacher.model, model, state, source=teacher.weights)
    try:
        fill_model(model, state, source=teacher.weights, name=f"{teacher.model} for {outputs} classes")
    except UserError as error:
        if not other_outputs(config) and (advice := _advice(model, state, outputs)):
            raise UserError(f"{error} {advice}") from error
        raise
    if taken_off := (*weights.wrappers, *prefixes):
        say(f"{teacher.weights}: taken off the names of its entries: {', '.join(taken_off)}")


def _advice(model: nn.Module, state: Mapping[str, Tensor], outputs: int) -> str | None:
    """Return a sentence for weights that may be those of `model`, made for `outputs`, but for its last layer."""
    found = file_outputs(state, model, outputs)
    if found is None:
        last = last_layers(model, outputs)[-1:]
        missing = {key.rpartition(".")[0] for key in model.state_dict() if key not in state}
        alone = "to store its features alone, set store.logits to false and store.features to true."
        return f"If it is a teacher without its last layer, {alone}" if missing == set(last) else None
    if found == outputs:
        return None
    return (
        f"If it is a teacher of {found:,} other classes, set teacher.classes to those that stand for the data set's, "
        f"or store.logits to false to store its features alone."
    )


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
        if key == "classes" and other_outputs(config):
            continue
        if key in facts and facts[key] != expected:
            raise UserError(
                f"the teacher in {path} was trained on another data set: {key} found {facts[key]}, expected {expected} "
                f"as in {dataset.name}. Use the data that it was trained on, or another teacher."
            )
