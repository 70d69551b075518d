"""Models by name: those of the zoo, of torchvision and timm, and any that a callable of the user's returns."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from kcd_pipeline.config import did_you_mean
from kcd_pipeline.errors import UserError
from kcd_pipeline.models.external import build_external, is_external
from kcd_pipeline.models.trial import require_logits, require_trainable
from kcd_pipeline.models.zoo import build_zoo_model, zoo_names

EXTERNAL_FORMS = "torchvision/NAME, timm/NAME or package.module:callable"


def build_model(name: str, *, channels: int, classes: int, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Return a new model: `images[B, channels, H, W]` float -> `logits[B, classes]`.

    Its initial weights come from torch's global generator: seed that first.

    Parameters
    ----------
    arguments
        Keyword arguments for a model that is not of the zoo, which may also ask for published weights.

    Raises
    ------
    UserError
        If there is no model of that name, or it cannot be built for these channels, classes and arguments.
    FailedError
        If published weights cannot be fetched.
    """
    if name in zoo_names():
        if arguments:
            raise UserError(f"{name} takes no arguments, found {', '.join(arguments)}")
        return build_zoo_model(name, channels=channels, classes=classes)
    if is_external(name):
        return build_external(name, channels=channels, classes=classes, arguments=arguments or {})
    raise UserError(
        f"there is no model '{name}'{did_you_mean(name, zoo_names())} (there are: {', '.join(zoo_names())}; and "
        f"{EXTERNAL_FORMS})"
    )


def model_for(
    name: str,
    *,
    image_shape: Sequence[int],
    classes: int,
    arguments: Mapping[str, Any] | None = None,
    trained_by: int = 0,
) -> nn.Module:
    """Build a model as `build_model` does, and try it on two images `[K, H, W]` of `image_shape`.

    Parameters
    ----------
    trained_by
        The number of processes that are to train it together. One that is not of the zoo is tried in that, too.

    Raises
    ------
    UserError
        If the model cannot be built, cannot take such images, does not return `logits[B, classes]`, or cannot be
        trained.
    FailedError
        If published weights cannot be fetched.
    """
    model = build_model(name, channels=image_shape[0], classes=classes, arguments=arguments)
    require_logits(model, name, image_shape, classes)
    if trained_by and name not in zoo_names():
        require_trainable(model, name, image_shape, classes, together=trained_by > 1)
    return model
