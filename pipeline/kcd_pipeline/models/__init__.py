"""Models by name. A family is a module with `VARIANTS` and `build`; it is registered in `FAMILIES` alone."""

from torch import nn

from kcd_pipeline.config import nearest
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import cifar_resnet, mobilenetv2, resnet50, shufflenetv1, shufflenetv2, vgg, wide_resnet

FAMILIES = (cifar_resnet, wide_resnet, vgg, mobilenetv2, shufflenetv1, shufflenetv2, resnet50)


def model_names() -> list[str]:
    """Every name that `build_model` takes."""
    return [name for family in FAMILIES for name in family.VARIANTS]


def build_model(name: str, *, channels: int, classes: int) -> nn.Module:
    """A freshly initialised model: `images[B, channels, H, W]` float -> `logits[B, classes]`.

    Initial weights come from torch's global generator: seed it first.

    Raises
    ------
    UserError
        If there is no model of that name.
    """
    for family in FAMILIES:
        if name in family.VARIANTS:
            return family.build(name, channels=channels, classes=classes)
    names = model_names()
    raise UserError(f"there is no model '{name}'{nearest(name, names)} (there are: {', '.join(names)})")
