"""Which known architecture some weights belong to, by the names and shapes in them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kcd_pipeline.models import build_model, model_names

Shapes = dict[str, tuple[int, ...]]

# of torchvision's some that teachers often are, tried where none of our own fits
ELSEWHERE = tuple(
    f"torchvision/{name}"
    for name in (
        *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
        *(f"vgg{depth}{form}" for depth in (11, 13, 16, 19) for form in ("", "_bn")),
        *("wide_resnet50_2", "resnext50_32x4d", "densenet121", "mobilenet_v2", "mobilenet_v3_small"),
        *("mobilenet_v3_large", "shufflenet_v2_x1_0", "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t"),
    )
)
NEAR = 0.3  # less agreement than this is no likeness


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How well weights fit a model: `same` of `of` entries (its own and theirs together) agree in name and shape."""

    name: str
    classes: int | None
    channels: int | None
    same: int
    of: int

    @property
    def share(self) -> float:
        return self.same / self.of

    def __str__(self) -> str:
        what = self.name
        if self.classes is not None and self.channels is not None:
            what += f" for {self.classes} classes and {self.channels} channel{'s' if self.channels > 1 else ''}"
        if self.same == self.of:
            return f"They are those of a {what}"
        return f"The closest that is known is a {what}: {self.same:,} of {self.of:,} entries agree"


def closest(state: Mapping[str, Tensor]) -> Likeness | None:
    """The known architecture whose entries agree best with `state`, whatever its classes and channels."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    best: Likeness | None = None
    for name in _candidates():
        if best is not None and name in ELSEWHERE and best.share > 1 - NEAR:
            break
        found = _likeness(name, shapes)
        if best is None or found.share > best.share:
            best = found
    return best if best is not None and best.share >= NEAR else None


def _candidates() -> Iterator[str]:
    yield from model_names()
    yield from ELSEWHERE


def _likeness(name: str, shapes: Shapes) -> Likeness:
    with torch.device("meta"):  # shapes without memory or time
        model = build_model(name, channels=3, classes=10)
    own: Shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    channels = classes = None
    stem = next(key for key, shape in own.items() if len(shape) == 4)
    if stem in shapes and shapes[stem][:1] + shapes[stem][2:] == own[stem][:1] + own[stem][2:]:
        own[stem], channels = shapes[stem], shapes[stem][1]
    head = _head(model)
    if f"{head}.weight" in shapes and shapes[f"{head}.weight"][1:] == own[f"{head}.weight"][1:]:
        classes = shapes[f"{head}.weight"][0]
        own |= {f"{head}.weight": shapes[f"{head}.weight"], f"{head}.bias": (classes,)}
    same = len(own.items() & shapes.items())
    return Likeness(name=name, classes=classes, channels=channels, same=same, of=len(own.keys() | shapes.keys()))


def _head(model: nn.Module) -> str:
    """The name of the last linear layer."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
