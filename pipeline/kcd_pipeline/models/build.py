"""Models by name: those of the zoo, of torchvision and timm, and any that a callable of the user's returns."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kcd_pipeline.config import did_you_mean
from kcd_pipeline.errors import UserError
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
    from kcd_pipeline.models import external  # it loads torchvision, which takes a second and few models need

    if external.is_external(name):
        return external.build_external(name, channels=channels, classes=classes, arguments=arguments or {})
    raise UserError(
        f"there is no model '{name}'{did_you_mean(name, zoo_names())} (there are: {', '.join(zoo_names())}; and "
        f"{EXTERNAL_FORMS})"
    )


def model_for(
    name: str, *, image_shape: Sequence[int], classes: int, arguments: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a model as `build_model` does, and try it on two images `[K, H, W]` of `image_shape`.

    Raises
    ------
    UserError
        If the model cannot be built, cannot take such images, or does not return `logits[B, classes]`.
    FailedError
        If published weights cannot be fetched.
    """
    model = build_model(name, channels=image_shape[0], classes=classes, arguments=arguments)
    was_training = model.training
    try:
        with torch.no_grad():
            logits = model.eval()(torch.zeros(2, *image_shape))
    except Exception as error:  # a layer may raise anything if a shape does not fit it
        raise UserError(
            f"{name} cannot take images of {list(image_shape)} (channels, height, width): {error}. Take larger ones "
            f"(data.image_size), or another model."
        ) from error
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        found = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(
            f"{name} gives {found} for two images, expected logits [2, {classes}] as the data set has classes"
        )
    return model.train(was_training)
