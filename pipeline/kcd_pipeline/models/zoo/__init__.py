"""The zoo: the networks of the distillation tables for small images, with RepDistiller's names and state-dict keys.

Every family is a module of the same shape: its blocks, its network (a `Classifier`), `VARIANTS`, which maps each name
to what sets that variant apart, and `build`, which makes one. A new family is registered in `FAMILIES` alone.
"""

from torch import nn

from kcd_pipeline.models.zoo import cifar_resnet, mobilenetv2, resnet50, shufflenetv1, shufflenetv2, vgg, wide_resnet
from kcd_pipeline.models.zoo.blocks import Classifier

__all__ = ["FAMILIES", "Classifier", "build_zoo_model", "zoo_names"]

FAMILIES = (cifar_resnet, wide_resnet, vgg, mobilenetv2, shufflenetv1, shufflenetv2, resnet50)


def zoo_names() -> list[str]:
    """Return the name of every model of the zoo, family by family."""
    return [name for family in FAMILIES for name in family.VARIANTS]


def build_zoo_model(name: str, *, channels: int, classes: int) -> nn.Module:
    """Return a new model: `images[B, channels, H, W]` float -> `logits[B, classes]`.

    Its initial weights come from torch's global generator.

    Raises
    ------
    KeyError
        If the zoo has no model of that name.
    """
    for family in FAMILIES:
        if name in family.VARIANTS:
            return family.build(name, channels=channels, classes=classes)
    raise KeyError(name)
