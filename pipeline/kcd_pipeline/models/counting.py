"""Counting the cost of a model: its parameters, and its multiply-adds for one image."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kcd_pipeline.model_costs import ImageShape, ModelCost
from kcd_pipeline.models.build import build_model
from kcd_pipeline.models.weights import parameter_count
from kcd_pipeline.models.zoo import build_zoo_model, zoo_names


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


def count_costs(names: Sequence[str], image_shape: ImageShape, classes: int) -> list[ModelCost]:
    """Build each model of `names`, or of the whole zoo if `names` is empty, and count its cost.

    Raises
    ------
    UserError
        If there is no model of one of the names.
    """
    costs = []
    for name in names or zoo_names():
        if name in zoo_names():
            with torch.device("meta"):  # nobody looks at initial weights, which take most of the time to make
                model = build_zoo_model(name, channels=image_shape[0], classes=classes)
        else:
            model = build_model(name, channels=image_shape[0], classes=classes)
        parameters = parameter_count(model)  # before the model is moved to the meta device
        costs.append(ModelCost(name=name, parameters=parameters, multiply_adds=multiply_adds(model, image_shape)))
    return costs
