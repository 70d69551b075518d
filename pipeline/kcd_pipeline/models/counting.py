"""What a model costs: parameters, and multiply-adds for one image."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kcd_pipeline.models import build_model, model_names
from kcd_pipeline.models.weights import parameter_count


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Numbers that are trained, and multiply-adds for one image; None where the model cannot take such an image."""

    name: str
    parameters: int
    multiply_adds: int | None


def multiply_adds(model: nn.Module, image_shape: tuple[int, int, int]) -> int | None:
    """Of convolutions and matrix products for one image `[K, H, W]`; None if it is too small, or does not fit.

    As torch counts them (half of its floating-point operations); norms, activations and pooling are left out, as the
    field does. Nothing is computed: shapes suffice.
    """
    bare = model.to("meta").eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            bare(torch.empty(1, *image_shape, device="meta"))
    except (RuntimeError, AssertionError, ValueError):
        return None
    return counter.get_total_flops() // 2


def costs(names: tuple[str, ...], image_shape: tuple[int, int, int], classes: int) -> list[Cost]:
    """Of the models called `names`, or of the whole zoo if none is given.

    Raises
    ------
    UserError
        If there is no model of a name.
    """
    found = []
    for name in names or model_names():
        model = build_model(name, channels=image_shape[0], classes=classes)
        count = parameter_count(model)
        found.append(Cost(name=name, parameters=count, multiply_adds=multiply_adds(model, image_shape)))
    return found


def costs_as_json(found: list[Cost], image_shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
    """`{"input": [K, H, W], "classes": C, "models": [...]}`."""
    return {"input": list(image_shape), "classes": classes, "models": [asdict(cost) for cost in found]}


def costs_as_table(found: list[Cost]) -> str:
    """One line a model, numbers aligned; a dash where it cannot take such an image."""
    rows = [("model", "parameters", "multiply-adds")]
    rows += [
        (cost.name, f"{cost.parameters:,}", "–" if cost.multiply_adds is None else f"{cost.multiply_adds:,}")
        for cost in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)
