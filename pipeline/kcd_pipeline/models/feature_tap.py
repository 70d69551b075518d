"""Penultimate features of any model whose logits come from a linear layer.

Letters: B batch, K input channels, C classes, D features.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kcd_pipeline.errors import UserError
from kcd_pipeline.models.heads import outputs_of
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

    @classmethod
    def before_any_head(cls, model: nn.Module, *, image_shape: Sequence[int]) -> "FeatureTap":
        """Return the tap of a model whose outputs mean nothing here: they may be of any classes, or be features.

        The features are what goes into the last linear layer or convolution that a forward pass calls, mean over places
        or tokens if there are several; or the outputs themselves, of a model of timm that has no head.
        """
        tap = cls.__new__(cls)
        tap._latest = None
        if getattr(model, "num_classes", None) == 0:
            model.register_forward_hook(lambda module, inputs, outputs: tap._keep(module, (outputs,)))
        else:
            _last_called(model, image_shape).register_forward_pre_hook(tap._keep)
        _try_once(model, image_shape)
        tap.width = tap.take().shape[1]
        return tap

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
        features, self._latest = _one_vector(self._latest.float()), None
        return features


def _one_vector(features: Tensor) -> Tensor:
    """Return features `[B, D]` of `[B, D]`, of places `[B, D, h, w]` or of tokens `[B, t, D]`."""
    if features.ndim == 4:
        return features.mean(dim=(2, 3))
    return features.mean(dim=1) if features.ndim == 3 else features


def _try_once(model: nn.Module, image_shape: Sequence[int]) -> Tensor:
    """Return the outputs of `model`, in evaluation mode, for two black images `[K, H, W]`."""
    was_training, device = model.training, next(model.parameters()).device
    with torch.no_grad():
        outputs: Tensor = model.eval()(torch.zeros(2, *image_shape, device=device))
    model.train(was_training)
    return outputs


def _last_called(model: nn.Module, image_shape: Sequence[int]) -> nn.Module:
    """Return the linear layer or convolution that a forward pass calls last."""
    called: list[nn.Module] = []
    layers = [layer for layer in model.modules() if outputs_of(layer) is not None]
    hooks = [layer.register_forward_hook(lambda layer, inputs, output: called.append(layer)) for layer in layers]
    _try_once(model, image_shape)
    for hook in hooks:
        hook.remove()
    if not called:
        raise UserError(
            f"the features of {type(model).__name__} cannot be taken: it calls no linear layer and no convolution."
        )
    return called[-1]


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
    logits = _try_once(model, image_shape)
    hook.remove()
    if len(outputs) != 1 or not torch.equal(outputs[0], logits):
        raise UserError(
            f"the features of {type(model).__name__} cannot be taken: its logits are not what its last linear "
            f"layer gives. Take a model that ends in one, or do without store.features."
        )
