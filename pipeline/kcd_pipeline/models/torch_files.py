"""Checkpoints that `torch.save` wrote: a bare state dict, or one in a mapping with other things, as published ones are.

They are pickles, and a pickle may run any code; torch's restricted loader makes nothing but tensors, plain containers
and what is listed here.
"""

import _codecs
import argparse
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kcd_pipeline.errors import UserError

# where the state dict is, by the habits of the field: RepDistiller and torchvision, Lightning and many others
PLACES = ("model", "state_dict")
PARALLEL = "module."  # what DataParallel and DistributedDataParallel put before every key

# what training scripts save beside weights: an accuracy that is a numpy number, the command line's arguments
_SCALAR = np.float64(0).__reduce__()[0]
HARMLESS: list[Any] = [
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # numpy 1's name for it
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "bool")},
    _codecs.encode,
    argparse.Namespace,
]


def is_torch_file(path: Path) -> bool:
    """Whether `path` begins as `torch.save` begins its files: a zip archive, or (before torch 1.6) a pickle."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[:2] == b"PK" or (start[:1] == b"\x80" and start[8:] != b"{")


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`, on the CPU.

    Raises
    ------
    UserError
        If it is damaged, holds what is not loaded, or has no state dict where one is looked for.
    """
    try:
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors and numbers, and is not loaded, for a pickle may run any code "
            f"({_first_line(error)}). If you trust it, save its state dict alone: "
            f"`torch.save(torch.load('{path.name}', weights_only=False)['model'], 'weights.pth')`, or "
            f"`.state_dict()` of what you find there if that is a whole module."
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a readable torch file: {_first_line(error)}. Fetch or save it again."
        ) from error
    return _state_dict(content, path)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    places = [content, *(content[key] for key in PLACES if key in content)] if isinstance(content, Mapping) else []
    for place in places:
        if isinstance(place, Mapping) and place and all(isinstance(value, Tensor) for value in place.values()):
            return {str(key): tensor for key, tensor in place.items()}
    found = f"a mapping of {', '.join(map(str, content))}" if isinstance(content, Mapping) else type(content).__name__
    raise UserError(
        f"{path} has no state dict: expected names and tensors, there or under {' or '.join(map(repr, PLACES))}, found "
        f"{found}. Save the state dict alone: `torch.save(model.state_dict(), 'weights.pth')`."
    )


def without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with no `module.` before its keys, if all of them have it."""
    if all(key.startswith(PARALLEL) for key in state):
        return {key.removeprefix(PARALLEL): tensor for key, tensor in state.items()}
    return state


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "Unsupported" in line]
    return (lines or str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
