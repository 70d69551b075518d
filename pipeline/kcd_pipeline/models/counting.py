"""The cost of a model: its parameters, and its multiply-adds for one image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kcd_pipeline.models.build import build_model
from kcd_pipeline.models.weights import parameter_count
from kcd_pipeline.models.zoo import zoo_names

ImageShape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """Trained parameters, and multiply-adds for one image: None if the model cannot take such an image."""

    name: str
    parameters: int
    multiply_adds: int | None


def multiply_adds(model: nn.Module, image_shape: ImageShape) -> int | None:
    """Count the multiply-adds of convolutions and matrix products for one image `[K, H, W]`.

    The count is half of the floating-point operations that torch counts. Norms, activations and pooling are left out,
    as published tables leave them out. Nothing is computed: the model is moved to the meta device, and stays there.

    Returns
    -------
    int | None
        None if the model cannot take an image of that shape.
    """
    on_meta = model.to("meta").eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            on_meta(torch.empty(1, *image_shape, device="meta"))
    except (RuntimeError, AssertionError, ValueError):
        return None
    return counter.get_total_flops() // 2


def model_costs(names: Sequence[str], image_shape: ImageShape, classes: int) -> list[ModelCost]:
    """Return the cost of each model of `names`, or of the whole zoo if `names` is empty.

    Raises
    ------
    UserError
        If there is no model of one of the names.
    """
    costs = []
    for name in names or zoo_names():
        model = build_model(name, channels=image_shape[0], classes=classes)
        parameters = parameter_count(model)  # before the model is moved to the meta device
        costs.append(ModelCost(name=name, parameters=parameters, multiply_adds=multiply_adds(model, image_shape)))
    return costs


def costs_as_json(costs: Sequence[ModelCost], image_shape: ImageShape, classes: int) -> dict[str, Any]:
    """Return `{"input": [K, H, W], "classes": C, "models": [...]}`."""
    return {"input": list(image_shape), "classes": classes, "models": [asdict(cost) for cost in costs]}


def costs_as_table(costs: Sequence[ModelCost]) -> str:
    """Return one line for each model, in aligned columns; a dash stands for multiply-adds that are None."""
    rows = [("model", "parameters", "multiply-adds")]
    rows += [
        (cost.name, f"{cost.parameters:,}", "–" if cost.multiply_adds is None else f"{cost.multiply_adds:,}")
        for cost in costs
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)
