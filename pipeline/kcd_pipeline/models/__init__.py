"""Models by name. A family is a module with `VARIANTS` and `build`; it is registered in `FAMILIES` alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kcd_pipeline.config import nearest
from kcd_pipeline.errors import UserError
from kcd_pipeline.models.zoo import cifar_resnet, mobilenetv2, resnet50, shufflenetv1, shufflenetv2, vgg, wide_resnet

FAMILIES = (cifar_resnet, wide_resnet, vgg, mobilenetv2, shufflenetv1, shufflenetv2, resnet50)
ELSEWHERE = "torchvision/NAME, timm/NAME or package.module:callable"


def model_names() -> list[str]:
    """Every name of the zoo; others are in other packages."""
    return [name for family in FAMILIES for name in family.VARIANTS]


def build_model(name: str, *, channels: int, classes: int, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A freshly initialised model: `images[B, channels, H, W]` float -> `logits[B, classes]`.

    Initial weights come from torch's global generator: seed it first. `arguments` are for models from elsewhere,
    which they may also ask for published weights.

    Raises
    ------
    UserError
        If there is no model of that name, or it cannot be built so.
    FailedError
        If published weights cannot be fetched.
    """
    for family in FAMILIES:
        if name in family.VARIANTS:
            if arguments:
                raise UserError(f"{name} takes no arguments, found {', '.join(arguments)}")
            return family.build(name, channels=channels, classes=classes)
    from kcd_pipeline.models import external as elsewhere  # torchvision takes a second, and few need it

    if elsewhere.is_elsewhere(name):
        return elsewhere.build_elsewhere(name, channels=channels, classes=classes, arguments=arguments or {})
    names = model_names()
    raise UserError(
        f"there is no model '{name}'{nearest(name, names)} (there are: {', '.join(names)}; and {ELSEWHERE})"
    )


def model_for(
    name: str, *, image_shape: Sequence[int], classes: int, arguments: Mapping[str, Any] | None = None
) -> nn.Module:
    """`build_model`, and a look at whether the model gives `logits[B, classes]` for images `[K, H, W]`.

    Raises
    ------
    UserError, FailedError
        As `build_model`; and if it cannot take such images, or gives something else.
    """
    model = build_model(name, channels=image_shape[0], classes=classes, arguments=arguments)
    training = model.training
    try:
        with torch.no_grad():
            given = model.eval()(torch.zeros(2, *image_shape))
    except Exception as error:  # whatever a layer says of a shape that does not fit it
        raise UserError(
            f"{name} cannot take images of {list(image_shape)} (channels, height, width): {error}. Take larger ones "
            f"(data.image_size), or another model."
        ) from error
    if not isinstance(given, Tensor) or given.shape != (2, classes):
        what = f"shape {list(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
        raise UserError(
            f"{name} gives {what} for two images, expected logits [2, {classes}] as the data set has classes"
        )
    return model.train(training)
