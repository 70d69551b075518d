"""A model to be trained: new, or filled with weights to begin from, whatever classes their last layer is for."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from kcd_pipeline.config import StudentConfig, TeacherConfig
from kcd_pipeline.errors import UserError
from kcd_pipeline.models.build import model_for
from kcd_pipeline.models.external import is_published, published_state, timm_state, without_pretrained
from kcd_pipeline.models.fitting import fill_model
from kcd_pipeline.models.heads import without_other_heads
from kcd_pipeline.models.passed import copy_of_passed
from kcd_pipeline.models.weights import Weights, load_weights, weights_hash
from kcd_pipeline.models.wrappers import without_holders
from kcd_pipeline.progress import say


def model_to_train(
    part: TeacherConfig | StudentConfig,
    section: str,
    passed: nn.Module | None = None,
    *,
    image_shape: Sequence[int],
    classes: int,
    trained_by: int,
) -> tuple[nn.Module, str | None]:
    """Return the model of a `section` of a recipe, and the content hash of the weights `init` if it begins with any.

    Seed torch's generator first.

    Parameters
    ----------
    passed
        A model that was passed as an object, in the place of the recipe's: a copy of it is returned.
    image_shape, classes, trained_by
        As in `model_for`.

    Raises
    ------
    UserError
        If the model cannot be built or trained, there is no file `init`, or anything but its last layer does not fit.
    FailedError
        If published weights cannot be fetched.
    """
    if passed is not None:
        if part.init is not None:
            raise UserError(
                f"{section}.init is {part.init}, but the {section} was passed as an object, which begins as it is. "
                f"Leave {section}.init out, or fill the object with these weights before it is passed."
            )
        copied = copy_of_passed(passed, image_shape=image_shape, classes=classes, trained_by=trained_by, part=section)
        return copied, None
    arguments = part.arguments
    if part.init is not None:
        arguments = without_pretrained(part.model, arguments)
        if asking := [word for word, value in part.arguments.items() if word not in arguments and value]:
            raise UserError(
                f"{section}.arguments asks for published weights ({asking[0]}: {part.arguments[asking[0]]}), and "
                f"{section}.init for those in {part.init}. Leave one of them out."
            )
    model = model_for(part.model, image_shape=image_shape, classes=classes, arguments=arguments, trained_by=trained_by)
    if part.init is None:
        return model, None
    return model, _begin_from(part.init, model, part, section, classes)


def _begin_from(init: Path, model: nn.Module, part: TeacherConfig | StudentConfig, section: str, classes: int) -> str:
    """Fill `model` with the weights `init`, in place, and return their content hash.

    A last layer for another number of classes than `classes`, or one that is missing, stays as it was made. The user is
    told so, and what was taken off the names in the file.
    """
    weights = _read(init, part, section)
    state, prefixes = without_holders(weights.state, model.state_dict())
    state = timm_state(part.model, model, state, source=init)
    state, made_anew = without_other_heads(state, model, classes)
    fill_model(model, state, source=init, name=part.model)
    if taken_off := (*weights.wrappers, *prefixes):
        say(f"{init}: taken off the names of its entries: {', '.join(taken_off)}")
    if made_anew:
        say(f"{section}.init: {init}; made anew for {classes:,} classes: {'; '.join(made_anew)}")
    return weights_hash(weights.state)


def _read(init: Path, part: TeacherConfig | StudentConfig, section: str) -> Weights:
    if is_published(init):
        return Weights(state=published_state(part.model, init, part.arguments, key=f"{section}.init"), facts={})
    if not init.is_file():
        raise UserError(
            f"{section}.init is {init}, but {'that is a folder' if init.is_dir() else 'there is no such file'}. Name a "
            f"file of a state dict (safetensors, such as weights.safetensors of a run, or a checkpoint by torch.save), "
            f"or published weights (torchvision/DEFAULT, timm/pretrained)."
        )
    return load_weights(init)
