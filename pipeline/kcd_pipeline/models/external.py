"""Models from elsewhere: `torchvision/NAME`, `timm/NAME`, and `package.module:callable` of one's own."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn

from kcd_pipeline.config import nearest
from kcd_pipeline.errors import FailedError, UserError

TORCHVISION, TIMM = "torchvision/", "timm/"
PRETRAINED = {TORCHVISION: "weights", TIMM: "pretrained"}  # the argument by which published weights are asked for

# Two of torchvision's have auxiliary heads, and scale their input when their weights are loaded. Without the former
# they give logits alone, and with the latter always they are one model, whatever weights they have.
SPECIAL = {name: {"aux_logits": False, "transform_input": True} for name in ("googlenet", "inception_v3")}


def is_elsewhere(name: str) -> bool:
    """Whether `name` is of one of the three forms."""
    return name.startswith((TORCHVISION, TIMM)) or ":" in name


def build_elsewhere(name: str, *, channels: int, classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """The model called `name`: `images[B, channels, H, W]` float -> `logits[B, classes]`.

    Raises
    ------
    UserError
        If there is none of that name, its library is not installed, or it cannot be built so.
    FailedError
        If published weights cannot be fetched.
    """
    for prefix, build in ((TORCHVISION, _torchvision), (TIMM, _timm)):
        if name.startswith(prefix):
            return build(name.removeprefix(prefix), channels, classes, dict(arguments))
    return _own(name, channels, classes, dict(arguments))


def without_pretrained(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` but for the one that asks for published weights: for a model that gets its own right after."""
    asks = {key for prefix, key in PRETRAINED.items() if name.startswith(prefix)}
    return {key: value for key, value in arguments.items() if key not in asks}


def is_published(weights: Path) -> bool:
    """Whether `teacher.weights` names weights that a library publishes, such as `torchvision/DEFAULT`, not a file."""
    return f"{weights.parts[0]}/" in PRETRAINED and len(weights.parts) == 2 and not weights.exists()


def published_state(name: str, weights: Path, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of published `weights` (`torchvision/DEFAULT`, `timm/pretrained`) of the model called `name`.

    Raises
    ------
    UserError, FailedError
        If they are not of the model's library, are not known, or cannot be fetched.
    """
    prefix, which = f"{weights.parts[0]}/", weights.parts[1]
    if not name.startswith(prefix):
        raise UserError(f"teacher.weights is {weights}, but teacher.model is {name}: give a {prefix}NAME, or a file")
    if prefix == TIMM and which != "pretrained":
        raise UserError(
            f"teacher.weights: found {weights}, expected timm/pretrained; which of a model's weights is part of its "
            f"name, as in timm/resnet18.a1_in1k"
        )
    own = without_pretrained(name, arguments)
    if prefix == TORCHVISION:
        return _torchvision(name.removeprefix(prefix), 3, None, own | {"weights": which}).state_dict()
    return _timm(name.removeprefix(prefix), 3, None, own | {"pretrained": True}).state_dict()


def _torchvision(name: str, channels: int, classes: int | None, arguments: dict[str, Any]) -> nn.Module:
    """`classes` None: as many as its weights have."""
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UserError(f"torchvision {torchvision.__version__} has no classifier '{name}'{nearest(name, known)}")
    if channels != 3:
        raise UserError(
            f"torchvision/{name} takes images of 3 channels, and these have {channels}. Take one of `kcd-pipeline "
            f"models`, or timm/NAME, which take any number."
        )
    weights = arguments.pop("weights", None)
    arguments = SPECIAL.get(name, {}) | arguments
    if weights is None:
        if name in SPECIAL:
            arguments = {"init_weights": True} | arguments
        return _built(f"torchvision/{name}", torchvision.models.get_model, name, num_classes=classes, **arguments)
    choices = torchvision.models.get_model_weights(name)
    if weights not in choices.__members__:
        raise UserError(
            f"torchvision/{name} has no weights '{weights}'{nearest(str(weights), choices.__members__)} "
            f"(there are: {', '.join(choices.__members__)})"
        )
    model = _built(f"torchvision/{name}", torchvision.models.get_model, name, weights=weights, **arguments)
    return model if classes is None else _with_classes(model, len(choices[weights].meta["categories"]), classes)


def _with_classes(model: nn.Module, found: int, classes: int) -> nn.Module:
    """`model`, its last layer made anew if it is for another number of classes."""
    if found == classes:
        return model
    widths = {
        key: module.out_features if isinstance(module, nn.Linear) else module.out_channels
        for key, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    head = [key for key, width in widths.items() if width == found][-1]
    last = model.get_submodule(head)
    if isinstance(last, nn.Conv2d):
        model.set_submodule(head, nn.Conv2d(last.in_channels, classes, last.kernel_size))  # type: ignore[arg-type]  # pairs
    else:
        model.set_submodule(head, nn.Linear(last.in_features, classes))  # type: ignore[arg-type]  # one of the two
    return model


def _timm(name: str, channels: int, classes: int | None, arguments: dict[str, Any]) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise UserError(f'timm/{name} needs an extra: pip install "kcd-pipeline[timm]"') from error
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UserError(f"timm {timm.__version__} has no model '{name}'{nearest(name.partition('.')[0], known)}")
    if classes is not None:
        arguments |= {"num_classes": classes, "in_chans": channels}
    return _built(f"timm/{name}", timm.create_model, name, **arguments)


def _own(name: str, channels: int, classes: int, arguments: dict[str, Any]) -> nn.Module:
    """Called with `arguments`, and with `channels` and `classes` as far as it takes parameters of these names."""
    with _working_folder_importable():
        build = _imported(name)
        offered = {"channels": channels, "classes": classes}
        taken = {key: value for key, value in offered.items() if key not in arguments and _takes(build, key)}
        model = _built(name, build, **taken, **arguments)
    if not isinstance(model, nn.Module):
        raise UserError(f"'{name}' returned a {type(model).__name__}, expected a torch.nn.Module")
    return model


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        build = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"there is no model '{name}': {error}. Expected package.module:callable, importable from the environment "
            f"or from {Path.cwd()}."
        ) from error
    if not callable(build):
        raise UserError(f"'{name}' is a {type(build).__name__}, expected something to call that returns a model")
    return build


def _takes(build: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # written in C: nothing is known of it
        return False
    return any(p.name == name or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


@contextmanager
def _working_folder_importable() -> Iterator[None]:
    """As `python -m` has it, and an installed command has not."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _built(label: str, build: Callable[..., Any], *positional: Any, **arguments: Any) -> Any:
    try:
        return build(*positional, **arguments)
    except OSError as error:  # URLError, HTTPError, a hub that cannot be reached
        raise FailedError(
            f"the weights of {label} could not be fetched: {error}. Try again, or give a file."
        ) from error
    except Exception as error:  # another's code, called with what the recipe says: any failure is the recipe's
        raise UserError(
            f"{label} cannot be built with {arguments or 'no arguments'}: {type(error).__name__}: {error}. Its "
            f"arguments are set by teacher.arguments or student.arguments."
        ) from error
