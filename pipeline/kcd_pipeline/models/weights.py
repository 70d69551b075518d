"""Weights in safetensors files: written whole, hashed by content, loaded with errors that say what differs."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kcd_pipeline.errors import UserError
from kcd_pipeline.files import write_whole

LISTED = 4  # parameters named in a message before "and n more"


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the state dict of `model`, with `facts` as JSON in the file's header; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_whole(path, save(tensors, metadata={"kcd": json.dumps(facts)}))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict in `path`, and the facts that were saved with it (empty for a file of other make).

    Raises
    ------
    UserError
        If there is no such file, or it is not readable as safetensors.
    """
    if not path.is_file():
        raise UserError(
            f"there are no weights at {path}. Make them with `kcd-pipeline train-teacher CONFIG`, or set "
            f"teacher.weights to a safetensors file."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            return {name: file.get_tensor(name) for name in names}, json.loads(metadata.get("kcd", "{}"))
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from error


def fill_model(model: nn.Module, state: Mapping[str, Tensor], *, source: Path, name: str) -> None:
    """Load `state` into `model`, in place; nothing is left as initialised and nothing is left over.

    Raises
    ------
    UserError
        Listing parameters that are missing, unexpected or of another shape.
    """
    own = model.state_dict()
    groups = {
        "missing from the file": [key for key in own if key not in state],
        "unknown to the model": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {list(state[key].shape)} for {list(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    }
    if any(groups.values()):
        found = "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in groups.items() if keys)
        raise UserError(
            f"the weights in {source} are not those of a {name}: {found}. Name the model that they belong to, or "
            f"other weights."
        )
    model.load_state_dict(dict(state))


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of a state dict: the same whatever file it came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
        digest.update(f"{name} {dtype} {shape}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)  # bytes of any dtype: numpy knows no bfloat16
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def parameter_count(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in model.parameters())
