"""Weights in files: written whole, read from any container, hashed by content, and refused if they do not fit."""

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
from kcd_pipeline.models.torch_files import is_torch_file, read_torch_file, without_parallel_prefix

MAX_LISTED = 4  # parameters named in a message before "and n more"
BATCH_COUNTER = "num_batches_tracked"  # the entry in which a batch norm counts batches


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the state dict of `model` as safetensors, with `facts` as JSON in the header; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_whole(path, save(tensors, metadata={"kcd": json.dumps(facts)}))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state dict in `path`, and the facts that `save_weights` wrote with it.

    The file is safetensors or a torch checkpoint. One that `save_weights` did not write has no facts, `{}`.

    Raises
    ------
    UserError
        If there is no such file, it is not readable, or it holds no state dict.
    """
    if not path.is_file():
        raise UserError(
            f"there are no weights at {path}. Make them with `kcd-pipeline train-teacher CONFIG`, or set "
            f"teacher.weights to a file of a state dict (safetensors, or a checkpoint by torch.save)."
        )
    if is_torch_file(path):
        return without_parallel_prefix(read_torch_file(path)), {}
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("kcd", "{}"))
            state = {name: file.get_tensor(name) for name in list(file.keys())}
            return state if facts else without_parallel_prefix(state), facts
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is neither a readable safetensors file ({error}) nor a checkpoint by torch.save. Fetch or make it "
            f"again, or name another file."
        ) from error


def fill_model(model: nn.Module, state: Mapping[str, Tensor], *, source: Path, name: str) -> None:
    """Load `state` into `model`, in place: every entry of the model is replaced, and every entry of `state` is used.

    Raises
    ------
    UserError
        If entries are missing, unknown or of another shape. The message lists them, and says which known architecture
        the weights are closest to.
    """
    expected = model.state_dict()
    state = _with_batch_counters(state, expected)
    differences = {
        "missing from the file": [key for key in expected if key not in state],
        "unknown to the model": [key for key in state if key not in expected],
        "of another shape": [
            f"{key} {list(state[key].shape)} for {list(expected[key].shape)}"
            for key in expected
            if key in state and state[key].shape != expected[key].shape
        ],
    }
    if any(differences.values()):
        found = "; ".join(f"{len(keys)} {what}: {_first_few(keys)}" for what, keys in differences.items() if keys)
        from kcd_pipeline.models.recognition import closest_architecture  # it builds every known model

        closest = closest_architecture(state)
        raise UserError(
            f"the weights in {source} are not those of a {name}: {found}.{f' {closest}.' if closest else ''} Name "
            f"the model that they belong to, or other weights."
        )
    model.load_state_dict(state)


def _with_batch_counters(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add zeros for the batch counters of `expected` if `state` has none.

    Batch norms count batches since torch 0.4.1. Older checkpoints lack the counters, and nothing here depends on them.
    """
    if any(key.endswith(BATCH_COUNTER) for key in state):
        return dict(state)
    return {key: torch.zeros_like(expected[key]) for key in expected if key.endswith(BATCH_COUNTER)} | dict(state)


def _first_few(keys: list[str]) -> str:
    more = f" and {len(keys) - MAX_LISTED} more" if len(keys) > MAX_LISTED else ""
    return ", ".join(keys[:MAX_LISTED]) + more


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the names, dtypes, shapes and bytes of a state dict; no container changes it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
        digest.update(f"{name} {dtype} {shape}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)  # viewed as bytes: numpy has no bfloat16
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters, batch norms' included and their running statistics not."""
    return sum(parameter.numel() for parameter in model.parameters())
