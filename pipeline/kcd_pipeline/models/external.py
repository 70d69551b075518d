"""Models of other packages: `torchvision/NAME`, `timm/NAME`, and what the user's `package.module:callable` returns."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kcd_pipeline.config import did_you_mean
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.own_parts import accepts, is_own_part, load_part, working_folder_importable
from kcd_pipeline.progress import say

TORCHVISION, TIMM = "torchvision/", "timm/"
WEIGHTS_ARGUMENT = {TORCHVISION: "weights", TIMM: "pretrained"}  # the argument that asks for published weights

# Without auxiliary heads these two return logits alone. `transform_input` is what loading their published weights
# turns on; set always, it makes the model the same whatever weights it has.
INCEPTIONS = {name: {"aux_logits": False, "transform_input": True} for name in ("googlenet", "inception_v3")}


def is_external(name: str) -> bool:
    """Return True if `name` has one of the three forms."""
    return name.startswith((TORCHVISION, TIMM)) or is_own_part(name)


def build_external(name: str, *, channels: int, classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """Return a new model called `name`: `images[B, channels, H, W]` float -> `logits[B, classes]`.

    Raises
    ------
    UserError
        If there is no model of that name, its library is not installed, or it cannot be built with `arguments`.
    FailedError
        If published weights cannot be fetched.
    """
    for prefix, build in ((TORCHVISION, _build_torchvision), (TIMM, _build_timm)):
        if name.startswith(prefix):
            _require_not_given(name, arguments, {"num_classes": classes, "in_chans": channels})
            return build(name.removeprefix(prefix), channels, classes, dict(arguments))
    return _build_by_callable(name, channels, classes, dict(arguments))


def _require_not_given(name: str, arguments: Mapping[str, Any], known: Mapping[str, int]) -> None:
    """Raise UserError if `arguments` give another number than the `known` one, which the data set has."""
    for key, number in known.items():
        if key in arguments and arguments[key] != number:
            raise UserError(
                f"{key} is {arguments[key]} in the arguments of {name}, but the data set has {number}. Leave it out of "
                f"teacher.arguments or student.arguments: it is taken from the data."
            )


# --- published weights -----------------------------------------------------------------------------------


def without_pretrained(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return `arguments` without the one that asks for published weights.

    Used where a model is filled with weights from a file right after it is built.
    """
    asking = {key for prefix, key in WEIGHTS_ARGUMENT.items() if name.startswith(prefix)}
    return {key: value for key, value in arguments.items() if key not in asking}


def is_published(weights: Path) -> bool:
    """Return True if `weights` names weights that a library publishes, such as `torchvision/DEFAULT`, and no file."""
    return len(weights.parts) == 2 and f"{weights.parts[0]}/" in WEIGHTS_ARGUMENT and not weights.exists()


def published_state(
    name: str, weights: Path, arguments: Mapping[str, Any], *, key: str = "teacher.weights"
) -> dict[str, Tensor]:
    """Return the state dict of published `weights` (`torchvision/DEFAULT`, `timm/pretrained`) for the model `name`.

    `key` is that of the recipe which names the weights, for messages.

    Raises
    ------
    UserError
        If the weights are not of the model's library, or it publishes none of that name.
    FailedError
        If they cannot be fetched.
    """
    prefix, which = f"{weights.parts[0]}/", weights.parts[1]
    if not name.startswith(prefix):
        model_key = f"{key.partition('.')[0]}.model"
        raise UserError(
            f"{key} is {weights}, which names published weights, but {model_key} is {name}: give a {prefix}NAME there, "
            f"or a file of weights as {key}"
        )
    if prefix == TIMM and which != "pretrained":
        raise UserError(
            f"{key}: found {weights}, expected timm/pretrained; which of a model's weights is part of its "
            f"name, as in timm/resnet18.a1_in1k"
        )
    others = without_pretrained(name, arguments)
    if prefix == TORCHVISION:
        return _build_torchvision(name.removeprefix(prefix), 3, None, others | {"weights": which}).state_dict()
    return _build_timm(name.removeprefix(prefix), 3, None, others | {"pretrained": True}).state_dict()


def timm_state(name: str, model: nn.Module, state: Mapping[str, Tensor], *, source: Path) -> dict[str, Tensor]:
    """Return `state` in the names and shapes of a `model` of timm, if timm itself converts files of that kind.

    Some of timm's files are older than its models, or are for images of another size. timm's models convert them by a
    function `checkpoint_filter_fn` of their module. It is not called where the names and shapes fit but for the last
    layer, nor for models of others.
    """
    expected = model.state_dict()
    unlike = [key for key in expected if key not in state or state[key].shape[1:] != expected[key].shape[1:]]
    convert = getattr(sys.modules.get(type(model).__module__), "checkpoint_filter_fn", None)
    if not name.startswith(TIMM) or not unlike or convert is None:
        return dict(state)
    try:
        converted = dict(convert(dict(state), model))
    except Exception:  # a file of something else, which the names and shapes show
        return dict(state)
    if converted.keys() != state.keys() or any(converted[key].shape != state[key].shape for key in converted):
        say(f"{source}: converted by timm to the names and shapes of its {name.removeprefix(TIMM)}")
    return converted


# --- torchvision and timm --------------------------------------------------------------------------------


def _build_torchvision(name: str, channels: int, classes: int | None, arguments: dict[str, Any]) -> nn.Module:
    """Build a classifier of torchvision; `classes` None: as many classes as its published weights have."""
    import torchvision  # a second to load, which other models do not need

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UserError(f"torchvision {torchvision.__version__} has no classifier '{name}'{did_you_mean(name, known)}")
    if channels != 3:
        raise UserError(
            f"torchvision/{name} takes images of 3 channels, and these have {channels}. Take one of `kcd-pipeline "
            f"models`, or timm/NAME, which take any number."
        )
    label, get_model = f"torchvision/{name}", torchvision.models.get_model
    weights = arguments.pop("weights", None)
    arguments.pop("num_classes", None)  # the data set's own number, or refused before
    arguments = INCEPTIONS.get(name, {}) | arguments
    if weights is None:
        if name in INCEPTIONS:
            arguments = {"init_weights": True} | arguments
        return _call_builder(label, get_model, name, arguments | {"num_classes": classes})
    choices = torchvision.models.get_model_weights(name)
    if weights not in choices.__members__:
        raise UserError(
            f"torchvision/{name} has no weights '{weights}'{did_you_mean(str(weights), choices.__members__)} "
            f"(there are: {', '.join(choices.__members__)})"
        )
    model = _call_builder(label, get_model, name, arguments | {"weights": weights})
    return model if classes is None else _with_classes(model, len(choices[weights].meta["categories"]), classes)


def _with_classes(model: nn.Module, published: int, classes: int) -> nn.Module:
    """Replace the last layer that has `published` outputs by a new one of `classes` outputs, if the two differ."""
    if published == classes:
        return model
    widths = {
        key: module.out_features if isinstance(module, nn.Linear) else module.out_channels
        for key, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    head = [key for key, width in widths.items() if width == published][-1]
    last = model.get_submodule(head)
    if isinstance(last, nn.Conv2d):
        model.set_submodule(head, nn.Conv2d(last.in_channels, classes, last.kernel_size))  # type: ignore[arg-type]  # pairs
    else:
        model.set_submodule(head, nn.Linear(last.in_features, classes))  # type: ignore[arg-type]  # one of the two
    return model


def _build_timm(name: str, channels: int, classes: int | None, arguments: dict[str, Any]) -> nn.Module:
    """Build a model of timm; `classes` None: channels and classes of its published weights."""
    try:
        import timm
    except ModuleNotFoundError as error:
        raise UserError(
            f'timm/{name} needs an extra. In the checkout of kcd-pipeline: pip install -e ".[timm]"'
        ) from error
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UserError(f"timm {timm.__version__} has no model '{name}'{did_you_mean(name.partition('.')[0], known)}")
    if classes is None:
        arguments = {key: value for key, value in arguments.items() if key not in ("num_classes", "in_chans")}
    else:
        arguments |= {"num_classes": classes, "in_chans": channels}
    return _call_builder(f"timm/{name}", timm.create_model, name, arguments)


# --- a callable of the user's ----------------------------------------------------------------------------


def _build_by_callable(name: str, channels: int, classes: int, arguments: dict[str, Any]) -> nn.Module:
    """Call `package.module:callable` with `arguments`, and with `channels` and `classes` if it has such parameters."""
    with working_folder_importable():  # also while it is called, for it may import more
        build = load_part(name, "teacher.model or student.model")
        offered = {"channels": channels, "classes": classes}
        taken = {key: value for key, value in offered.items() if key not in arguments and accepts(build, key)}
        model = _call_builder(name, build, None, taken | arguments)
    if not isinstance(model, nn.Module):
        raise UserError(f"'{name}' returned a {type(model).__name__}, expected a torch.nn.Module")
    return model


def _call_builder(label: str, build: Callable[..., Any], model: str | None, arguments: Mapping[str, Any]) -> Any:
    """Call `build` with the name of a `model`, if it takes one, and `arguments`; errors name the model by `label`."""
    try:
        return build(**arguments) if model is None else build(model, **arguments)
    except OSError as error:  # URLError, HTTPError, a hub that cannot be reached
        raise FailedError(
            f"the weights of {label} could not be fetched: {error}. Try again, or give a file."
        ) from error
    except (Exception, SystemExit) as error:  # code of others, called as the recipe says: any failure is the recipe's
        raise UserError(
            f"{label} cannot be built with {arguments or 'no arguments'}: {type(error).__name__}: {error}. Its "
            f"arguments are set by teacher.arguments or student.arguments."
        ) from error
