"""Image size and normalisation that weights of torchvision and timm were trained with, as the libraries record them."""

from dataclasses import dataclass
from pathlib import Path

from kcd_pipeline.models.external import TIMM, TORCHVISION, is_published

Numbers = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class KnownImages:
    """The images that weights were trained on.

    Attributes
    ----------
    mean, std
        Per channel, of pixels scaled to 0..1.
    image_size
        Pixels a side; None if it is not known.
    source
        Where this is recorded, for messages.
    """

    mean: Numbers
    std: Numbers
    image_size: int | None
    source: str


def library_images(name: str, weights: Path) -> KnownImages | None:
    """Return what torchvision or timm record of the `weights` of their model `name`; nothing is fetched.

    Weights in a file are taken to be those that the library publishes under the model's name: timm's models may have a
    tag, as in timm/resnet18.a1_in1k; of torchvision's it is the default.

    Returns
    -------
    KnownImages | None
        None if the model is of neither, or the library records nothing.
    """
    if name.startswith(TORCHVISION):
        which = weights.parts[1] if is_published(weights) else "DEFAULT"
        return _of_torchvision(name.removeprefix(TORCHVISION), which)
    return _of_timm(name.removeprefix(TIMM)) if name.startswith(TIMM) else None


def _of_torchvision(name: str, which: str) -> KnownImages | None:
    import torchvision

    try:
        transforms = torchvision.models.get_model_weights(name)[which].transforms()
    except (ValueError, KeyError):  # no such model or no such weights, which is said where they are loaded
        return None
    return KnownImages(
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        image_size=transforms.crop_size[0],
        source="torchvision's record of the weights",
    )


def _of_timm(name: str) -> KnownImages | None:
    try:
        from timm.models import get_pretrained_cfg
    except ModuleNotFoundError:  # said where the model is built
        return None
    found = get_pretrained_cfg(name)
    if found is None or not found.has_weights:
        return None
    return KnownImages(
        mean=tuple(found.mean), std=tuple(found.std), image_size=found.input_size[-1], source="timm's pretrained_cfg"
    )
