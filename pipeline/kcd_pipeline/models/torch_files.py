"""Checkpoints written by `torch.save`: a bare state dict, or a mapping that holds one beside other things.

They are pickles, and a pickle may run any code when it is loaded. torch's restricted loader makes nothing but tensors,
plain containers and what `SAFE_GLOBALS` lists.
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

# keys that hold the state dict: RepDistiller's and torchvision's scripts write the first, Lightning and many the second
STATE_DICT_KEYS = ("model", "state_dict")

# Training scripts save more than weights: an accuracy that is a numpy number, the arguments of the command line.
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
SAFE_GLOBALS: list[Any] = [
    _NUMPY_SCALAR,
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),  # numpy 1's name for it
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "bool")},
    _codecs.encode,
    argparse.Namespace,
]


def is_torch_file(path: Path) -> bool:
    """Return True if `path` begins as files of `torch.save` do: with a zip archive or, before torch 1.6, a pickle."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[:2] == b"PK" or (start[:1] == b"\x80" and start[8:] != b"{")


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """Return the state dict in `path`, on the CPU.

    Raises
    ------
    UserError
        If the file is damaged, holds anything that is not safe to load, or has no state dict.
    """
    _require_sound_archive(path)
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors and numbers, and is not loaded, for a pickle may run any code "
            f"({_reason(error)}). If you trust it, save its state dict alone: "
            f"`torch.save(torch.load('{path.name}', weights_only=False)['model'], 'weights.pth')`, or "
            f"`.state_dict()` of what you find there if that is a whole module."
        ) from error
    except Exception as error:  # another's bytes are parsed here, which may raise anything
        raise UserError(f"{path} is not a readable torch file: {_reason(error)}. Fetch or save it again.") from error
    state = _find_state_dict(content, path)
    _require_plain_tensors(state, path)
    return state


def _require_sound_archive(path: Path) -> None:
    """Raise UserError if `path` is an archive that is damaged, or would fill more memory than the file has bytes.

    torch writes a checksum of every entry, and looks at none when it reads. It compresses nothing.
    """
    size = path.stat().st_size
    try:
        archive = zipfile.ZipFile(path)
    except Exception:  # before torch 1.6 it was no archive, and one that cannot be opened is for torch to refuse
        return
    with archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > size:
            raise UserError(
                f"{path} would unpack to {unpacked:,} bytes from {size:,}, but torch.save compresses nothing and "
                f"repeats nothing. It is not loaded: save the state dict again with torch.save."
            )
        damaged = [entry.filename for entry in entries if not _is_sound(archive, entry)]
    if damaged and len(damaged) < len(entries):  # torch.serialization.set_crc32_options(False) leaves all of them out
        raise UserError(
            f"{path} is not a readable torch file: {damaged[0]} in it is not what was written, as its checksum shows. "
            f"Fetch or save it again."
        )


def _is_sound(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(entry) as file:
            while file.read(1 << 20):
                pass
    except Exception:  # another's bytes are parsed here, which may raise anything
        return False
    return True


def _require_plain_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError if a tensor is not dense numbers, or claims more of them than the file holds."""
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            kind = str(tensor.dtype if tensor.is_quantized else tensor.layout).removeprefix("torch.")
            raise UserError(
                f"{name} in {path} is a tensor of type {kind}, expected dense numbers such as float32. Save the state "
                f"dict of the model before it was quantised or made sparse."
            )
        if tensor.device.type == "meta" or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise UserError(
                f"{name} in {path} claims {tensor.numel():,} numbers, but the file does not hold so many. Save the "
                f"state dict again."
            )


def _find_state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """Return `content` itself, or what it holds under one of STATE_DICT_KEYS: the first that maps names to tensors."""
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[key] for key in STATE_DICT_KEYS if key in content]
    for state in candidates:
        if isinstance(state, Mapping) and state and all(isinstance(value, Tensor) for value in state.values()):
            return {str(key): tensor for key, tensor in state.items()}
    found = f"a mapping of {', '.join(map(str, content))}" if isinstance(content, Mapping) else type(content).__name__
    raise UserError(
        f"{path} has no state dict: expected names and tensors, there or under "
        f"{' or '.join(map(repr, STATE_DICT_KEYS))}, found {found}. Save the state dict alone: "
        f"`torch.save(model.state_dict(), 'weights.pth')`."
    )


def _reason(error: Exception) -> str:
    """Return the line of torch's message that names what was refused, or else its first line."""
    lines = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "Unsupported" in line]
    return (lines or str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
