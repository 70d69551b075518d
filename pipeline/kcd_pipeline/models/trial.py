"""Trials of a new model on two images, so that one which cannot be used is refused before anything is done with it.

Letters: K channels, H height, W width, C classes.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from kcd_pipeline.errors import UserError

STORABLE = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool),
)  # types of the entries of a state dict that any file of weights can hold


def require_logits(model: nn.Module, name: str, image_shape: Sequence[int], classes: int) -> None:
    """Raise UserError unless `model`, in evaluation mode, gives `logits[2, C]` for two images `[K, H, W]`."""
    was_training = model.training
    try:
        with torch.no_grad():
            logits = model.eval()(torch.zeros(2, *image_shape))
    except Exception as error:  # a layer may raise anything if a shape does not fit it
        raise UserError(
            f"{name} cannot take images of {list(image_shape)} (channels, height, width): {error}. Take larger ones "
            f"(data.image_size), or another model."
        ) from error
    _require_shape(logits, name, classes)
    model.train(was_training)


def require_trainable(
    model: nn.Module, name: str, image_shape: Sequence[int], classes: int, *, together: bool = False
) -> None:
    """Raise UserError unless `model` can be trained, and its state can be written and read again.

    One forward and one backward pass are tried; the model's state is afterwards what it was.

    Parameters
    ----------
    together
        True if several processes are to train it, which wait for each other at every parameter.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"{name} has nothing to train: no parameter of it requires a gradient. Take another model.")
    _require_plain_state(model, name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    was_training = model.training
    try:
        with torch.random.fork_rng(devices=[]):
            logits = model.train()(torch.zeros(2, *image_shape))
            _require_shape(logits, f"{name} in training", classes)
            if not logits.requires_grad:
                raise UserError(f"{name} cannot be trained: its logits depend on no parameter that requires a gradient")
            logits.float().sum().backward()
    except UserError:
        raise
    except Exception as error:  # the forward pass of another's model may raise anything
        raise UserError(
            f"{name} gives logits, but cannot be trained on images of {list(image_shape)} (channels, height, width): "
            f"{type(error).__name__}: {error}. Mend it, or take another model."
        ) from error
    unreached = [key for key, entry in model.named_parameters() if entry.requires_grad and entry.grad is None]
    if together and unreached:
        raise UserError(
            f"{name} has parameters that its logits do not depend on, such as {unreached[0]}: several ranks would wait "
            f"for their gradients for ever. Take them out, or train in one process."
        )
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    model.load_state_dict(before)


def _require_shape(logits: object, name: str, classes: int) -> None:
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        found = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(
            f"{name} gives {found} for two images, expected logits [2, {classes}] as the data set has classes"
        )


def _require_plain_state(model: nn.Module, name: str) -> None:
    """Raise UserError unless every entry of the state dict is a tensor that a file of weights can hold.

    One parameter may have several names. Parameters that lie in each other's memory may not: on another device, or read
    from a file, each would have memory of its own.
    """
    state = model.state_dict(keep_vars=True)
    for key, entry in state.items():
        if not isinstance(entry, Tensor):
            raise UserError(
                f"{name} keeps {key}, a {type(entry).__name__}, in its state dict (by get_extra_state), which a file "
                f"of weights cannot hold. Keep it as a tensor (register_buffer), or leave it out."
            )
        if is_lazy(entry) or entry.layout != torch.strided or entry.dtype not in STORABLE:
            kind = "not initialised" if is_lazy(entry) else str(entry.dtype if entry.is_quantized else entry.layout)
            raise UserError(
                f"{name} has {key}, which is {kind}: a file of weights holds dense numbers of the usual types alone. "
                f"Take another model."
            )
    by_memory: dict[int, list[tuple[str, Tensor]]] = {}
    for key, entry in state.items():
        if entry.numel():
            by_memory.setdefault(entry.untyped_storage().data_ptr(), []).append((key, entry))
    for beside in by_memory.values():
        for (first, a), (second, b) in itertools.combinations(beside, 2):
            if a is not b and _overlap(a, b):
                raise UserError(
                    f"{name} has {first} and {second} in the same memory, but they are two tensors: on another device, "
                    f"or read from a file, they would part. Use one parameter under both names, or compute one from "
                    f"the other in forward."
                )


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Return True if the ranges that two tensors take of one storage overlap, by their first and last elements."""
    (begin, end), (other_begin, other_end) = map(_extent, (first, second))
    return begin < other_end and other_begin < end


def _extent(tensor: Tensor) -> tuple[int, int]:
    begin = tensor.storage_offset() * tensor.itemsize
    last = sum((int(size) - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int(begin), int(begin + (last + 1) * tensor.itemsize)
