"""The last layers of a model: those whose outputs are counted by the classes.

Letters: C classes, D features.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from kcd_pipeline.models.zoo import Classifier


def outputs_of(layer: nn.Module) -> int | None:
    """Return the number of outputs of a linear layer or a convolution; None for other layers."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None


def last_layers(model: nn.Module, classes: int) -> list[str]:
    """Return the names of all layers of `classes` outputs, the one that gives the logits last.

    A model of the zoo names that layer; of others it is the last one that was made.
    """
    found = [name for name, layer in model.named_modules() if outputs_of(layer) == classes]
    if isinstance(model, Classifier):
        found = [name for name in found if name != model.last_layer] + [model.last_layer]
    return found


def file_outputs(state: Mapping[str, Tensor], model: nn.Module, classes: int) -> int | None:
    """Return the classes that the weights `state` are for, by the last layer of a `model` made for `classes`.

    None if `state` has no last layer, or the model has none that is known.
    """
    expected = model.state_dict()
    for key in (f"{name}.weight" for name in reversed(last_layers(model, classes))):
        if key in state and _same_but_outputs(state[key].shape, expected[key].shape):
            return int(state[key].shape[0])
    return None


def _same_but_outputs(first: Sequence[int], second: Sequence[int]) -> bool:
    return len(first) == len(second) and tuple(first[1:]) == tuple(second[1:])


def without_other_heads(
    state: Mapping[str, Tensor], model: nn.Module, classes: int
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return `state` with the last layers of `model` in the place of those that are for other classes or missing.

    The second is a phrase for the user about each layer that stays as it was made.
    """
    filled, made_anew = dict(state), []
    layers, expected = last_layers(model, classes), model.state_dict()
    for name in layers:
        own = {key: expected[key] for key in (f"{name}.weight", f"{name}.bias") if key in expected}
        weight = state.get(f"{name}.weight")
        if weight is None:
            if name != layers[-1]:
                continue  # no head, or one parameter of several names: `fill_model` says what is missing
            made_anew.append(f"{name}, which the file does not have")
        elif weight.shape[0] != classes and _same_but_outputs(weight.shape, expected[f"{name}.weight"].shape):
            made_anew.append(f"{name}, which is for {weight.shape[0]:,} classes in the file")
        else:
            continue
        filled = {key: tensor for key, tensor in filled.items() if key.rpartition(".")[0] != name} | own
    return filled, tuple(made_anew)
