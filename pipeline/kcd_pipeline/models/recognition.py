"""Recognise the architecture that weights belong to, by the names and shapes of their entries."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kcd_pipeline.models.build import build_model
from kcd_pipeline.models.zoo import zoo_names

Shapes = dict[str, tuple[int, ...]]

# models of torchvision that are common as teachers; they are tried after the zoo
COMMON_TORCHVISION = tuple(
    f"torchvision/{name}"
    for name in (
        *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
        *(f"vgg{depth}{form}" for depth in (11, 13, 16, 19) for form in ("", "_bn")),
        *("wide_resnet50_2", "resnext50_32x4d", "densenet121", "mobilenet_v2", "mobilenet_v3_small"),
        *("mobilenet_v3_large", "shufflenet_v2_x1_0", "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t"),
    )
)
SIMILAR = 0.3  # the share of matching entries below which two architectures have nothing to do with each other
ALIKE = 0.7  # the share from which a match within the zoo is good enough not to try torchvision


@dataclass(frozen=True, kw_only=True)
class ArchitectureMatch:
    """How well weights fit an architecture.

    Attributes
    ----------
    classes, channels
        Numbers that the weights are for; None if their last or first layer is not like the architecture's.
    matching
        Entries that agree in name and shape.
    total
        Entries of the weights and of the architecture together, each name counted once.
    """

    name: str
    classes: int | None
    channels: int | None
    matching: int
    total: int

    @property
    def share(self) -> float:
        return self.matching / self.total

    def __str__(self) -> str:
        model = self.name
        if self.classes is not None and self.channels is not None:
            model += f" for {self.classes} classes and {self.channels} channel{'s' if self.channels > 1 else ''}"
        if self.matching == self.total:
            return f"They are those of a {model}"
        return f"The closest that is known is a {model}: {self.matching:,} of {self.total:,} entries agree"


def closest_architecture(state: Mapping[str, Tensor]) -> ArchitectureMatch | None:
    """Return the known architecture that fits `state` best, for any number of classes and channels.

    None if no more than a few entries agree with any of them.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    best = max((_match(name, shapes) for name in zoo_names()), key=lambda match: match.share)
    for name in COMMON_TORCHVISION:
        if best.share > ALIKE:
            break
        match = _match(name, shapes)
        best = match if match.share > best.share else best
    return best if best.share >= SIMILAR else None


def _match(name: str, shapes: Shapes) -> ArchitectureMatch:
    """Compare `shapes` with the model `name`, built for the classes and channels that the shapes are for."""
    with torch.device("meta"):  # shapes alone take neither memory nor time
        model = build_model(name, channels=3, classes=10)
    expected: Shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    channels = classes = None
    stem = next(key for key, shape in expected.items() if len(shape) == 4)
    if stem in shapes and _without_inputs(shapes[stem]) == _without_inputs(expected[stem]):
        expected[stem], channels = shapes[stem], shapes[stem][1]
    head = _last_linear(model)
    weight, bias = f"{head}.weight", f"{head}.bias"
    if weight in shapes and shapes[weight][1:] == expected[weight][1:]:
        classes = shapes[weight][0]
        expected |= {weight: shapes[weight], bias: (classes,)}
    return ArchitectureMatch(
        name=name,
        classes=classes,
        channels=channels,
        matching=len(expected.items() & shapes.items()),
        total=len(expected.keys() | shapes.keys()),
    )


def _without_inputs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a convolution's weight `[outputs, inputs, height, width]` without its inputs."""
    return shape[:1] + shape[2:]


def _last_linear(model: nn.Module) -> str:
    """Return the name of the last linear layer."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
