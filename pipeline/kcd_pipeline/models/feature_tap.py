"""Penultimate features of any model whose logits come from a linear layer.

Letters: B batch, K input channels, C classes, D features.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kcd_pipeline.errors import UserError
from kcd_pipeline.models.zoo import Classifier


class FeatureTap:
    """Keep what goes into the last layer of `model`, so that one forward pass gives logits and features.

    After `logits = model(images)`, `take()` returns the features `[B, D]` that those logits came from.

    Parameters
    ----------
    image_shape
        [K, H, W] of the images that the model takes: it is tried once on two of them.
    classes
        C.

    Attributes
    ----------
    width
        D.

    Raises
    ------
    UserError
        If the model's logits are not the output of a linear layer.
    """

    def __init__(self, model: nn.Module, *, image_shape: Sequence[int], classes: int) -> None:
        self._latest: Tensor | None = None
        last = _last_layer(model, classes)
        _require_logits_from(last, model, image_shape)
        self.width = int(last.in_features)
        last.register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._latest = inputs[0]

    def take(self) -> Tensor:
        """Return the features of the latest forward pass, float32 `[B, D]`, and forget them.

        Raises
        ------
        RuntimeError
            If there was no forward pass since they were taken last.
        """
        if self._latest is None:
            raise RuntimeError("there was no forward pass since features were taken last")
        features, self._latest = self._latest.float(), None
        return features


def _last_layer(model: nn.Module, classes: int) -> nn.Linear:
    """Return the linear layer that gives the logits: zoo models name it, of others the last with C outputs is taken."""
    within = model.get_submodule(model.last_layer) if isinstance(model, Classifier) else model
    found = [layer for layer in within.modules() if isinstance(layer, nn.Linear) and layer.out_features == classes]
    if not found:
        raise UserError(
            f"the features of {type(model).__name__} cannot be taken: it has no linear layer of {classes} outputs. "
            f"Take a model that ends in one, or do without store.features."
        )
    return found[-1]


def _require_logits_from(last: nn.Linear, model: nn.Module, image_shape: Sequence[int]) -> None:
    """Raise UserError unless the logits of two black images are what `last` returns, called once."""
    outputs: list[Tensor] = []
    hook = last.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    was_training = model.training
    device = next(model.parameters()).device
    with torch.no_grad():
        logits = model.eval()(torch.zeros(2, *image_shape, device=device))
    model.train(was_training)
    hook.remove()
    if len(outputs) != 1 or not torch.equal(outputs[0], logits):
        raise UserError(
            f"the features of {type(model).__name__} cannot be taken: its logits are not what its last linear "
            f"layer gives. Take a model that ends in one, or do without store.features."
        )
