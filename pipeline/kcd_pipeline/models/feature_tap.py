"""A model's penultimate features, taken on their way into its last layer: for any model that ends in a linear one.

Letters: B batch, C classes, D features.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kcd_pipeline.errors import UserError
from kcd_pipeline.models.zoo.blocks import Classifier


class FeatureTap:
    """Hooked to `model`: after `model(images)`, `take()` gives the features `[B, D]` that those logits came from.

    Attributes
    ----------
    width
        D.

    Raises
    ------
    UserError
        If the model's logits are not what a linear layer of it gives.
    """

    def __init__(self, model: nn.Module, *, image_shape: Sequence[int], classes: int) -> None:
        self._taken: Tensor | None = None
        last = _last_layer(model, classes)
        given: list[Tensor] = []
        watching = last.register_forward_hook(lambda module, taken, output: given.append(output))
        training = model.training
        first = next(model.parameters())
        with torch.no_grad():
            logits = model.eval()(torch.zeros(2, *image_shape, device=first.device))
        model.train(training)
        watching.remove()
        if len(given) != 1 or not torch.equal(given[0], logits):
            raise UserError(
                f"the features of {type(model).__name__} cannot be taken: its logits are not what its last linear "
                f"layer gives. Take a model that ends in one, or do without store.features."
            )
        self.width = int(last.in_features)
        last.register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, taken: tuple[Any, ...]) -> None:
        self._taken = taken[0]

    def take(self) -> Tensor:
        """Features float32 `[B, D]` of the latest forward pass; each pass gives them once."""
        if self._taken is None:
            raise RuntimeError("there was no forward pass since features were taken last")
        features, self._taken = self._taken.float(), None
        return features


def _last_layer(model: nn.Module, classes: int) -> nn.Linear:
    """The zoo's models name it; of others it is the last linear layer that gives one number a class."""
    within = model.get_submodule(model.last_layer) if isinstance(model, Classifier) else model
    found = [layer for layer in within.modules() if isinstance(layer, nn.Linear) and layer.out_features == classes]
    if not found:
        raise UserError(
            f"the features of {type(model).__name__} cannot be taken: it has no linear layer of {classes} outputs. "
            f"Take a model that ends in one, or do without store.features."
        )
    return found[-1]
