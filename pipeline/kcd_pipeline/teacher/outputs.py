"""The outputs of a teacher of other classes: counted, and made those of the data set; and its features.

Letters: C classes of the data set, K outputs of the teacher.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import FeatureTap, Weights, build_model
from kcd_pipeline.models.external import TIMM, timm_state, without_pretrained
from kcd_pipeline.models.heads import file_outputs
from kcd_pipeline.models.merged_outputs import MergedOutputs, whole_model
from kcd_pipeline.models.wrappers import without_holders
from kcd_pipeline.progress import say
from kcd_pipeline.teacher.class_map import choices_by_class, outputs_by_class
from kcd_pipeline.teacher.class_names import class_names


def other_outputs(config: Config) -> bool:
    """Return True if the teacher of a recipe may have other classes than the data set."""
    return config.teacher.classes is not None or not config.store.logits


def outputs_of_weights(config: Config, dataset: Dataset, weights: Weights) -> int:
    """Return K, the outputs that the weights of a teacher are for; 0 for a model of timm without a head.

    Raises
    ------
    UserError
        If the weights have no last layer, and logits are wanted or the model cannot be without one.
    """
    if classes := weights.facts.get("classes"):
        return len(classes)
    teacher = config.teacher
    arguments = without_pretrained(teacher.model, teacher.arguments)
    expected = arguments.pop("num_classes", None) or len(dataset.classes)
    with torch.random.fork_rng(devices=[]):
        model = build_model(teacher.model, channels=dataset.channels, classes=expected, arguments=arguments)
    state, _ = without_holders(weights.state, model.state_dict())
    found = file_outputs(timm_state(teacher.model, model, state, source=teacher.weights), model, expected)
    if found is None and (config.store.logits or not teacher.model.startswith(TIMM)):
        raise UserError(
            f"the weights in {teacher.weights} have no last layer of a {teacher.model}, so it is not known how many "
            f"classes they are for. Name the model that they belong to; a model of timm without its last layer can "
            f"give features alone, with store.logits=false."
        )
    return found or 0


def outputs_of_model(model: nn.Module, image_shape: Sequence[int]) -> int:
    """Return K of a model that was passed as an object, tried on one image `[K, H, W]` of that shape."""
    try:
        with torch.no_grad():
            outputs = model.eval()(torch.zeros(1, *image_shape, device=next(model.parameters()).device))
    except Exception as error:  # another's model may raise anything
        raise UserError(
            f"the teacher that was passed cannot take images of {list(image_shape)} (channels, height, width): {error}."
        ) from error
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        raise UserError("the teacher that was passed gives no tensor [B, K] for images [B, C, H, W]")
    return int(outputs.shape[1])


def with_classes(
    config: Config, dataset: Dataset, model: nn.Module, outputs: int, facts: Mapping[str, Any] | None = None
) -> nn.Module:
    """Return a teacher of K outputs with those of the data set's classes, as `teacher.classes` says.

    It is the model itself if the recipe says nothing, or stores features alone.

    Parameters
    ----------
    facts
        The facts in the header of its weights.

    Raises
    ------
    UserError
        If the recipe names classes that the teacher does not have, or that it needs no logits of.
    """
    given = config.teacher.classes
    if given is None:
        return model
    if not config.store.logits:
        raise UserError(
            "teacher.classes says what a teacher's logits mean, but store.logits is false: none are stored. Leave one "
            "of them out."
        )
    choices = choices_by_class(given, dataset)
    known = class_names(config.teacher, outputs, facts or {})
    members = outputs_by_class(choices, outputs, None if known is None else known[0])
    if known is not None and any(isinstance(one, str) for choice in choices for one in choice):
        say(f"teacher.classes: {sum(map(len, members))} of the teacher's {outputs:,} classes, named by {known[1]}")
    return MergedOutputs(model, members, outputs).eval()


def describe_outputs(model: nn.Module) -> dict[str, Any]:
    """Return what a store records of a teacher of other classes: K, and the outputs that stand for each class."""
    if not isinstance(model, MergedOutputs):
        return {}
    return {"outputs": model.outputs, "outputs_of_classes": model.members}


def tap_features(model: nn.Module, config: Config, dataset: Dataset) -> FeatureTap:
    """Return the tap of the features of a teacher that `load_teacher` returned.

    Raises
    ------
    UserError
        If the features cannot be taken.
    """
    whole, shape = whole_model(model), dataset.image_shape
    if not config.store.logits:
        return FeatureTap.before_any_head(whole, image_shape=shape)
    outputs = model.outputs if isinstance(model, MergedOutputs) else len(dataset.classes)
    return FeatureTap(whole, image_shape=shape, classes=outputs)
