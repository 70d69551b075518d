"""Weights in files: written whole, read from any container, hashed by content, refused with what differs."""

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
from kcd_pipeline.models.torch_files import is_torch_file, read_torch_file, without_prefix

LISTED = 4  # parameters named in a message before "and n more"
COUNTED = "num_batches_tracked"


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the state dict of `model`, with `facts` as JSON in the file's header; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_whole(path, save(tensors, metadata={"kcd": json.dumps(facts)}))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict in `path`, safetensors or a torch checkpoint, and the facts that `save_weights` saved with it.

    Raises
    ------
    UserError
        If there is no such file, it is not readable, or holds no state dict.
    """
    if not path.is_file():
        raise UserError(
            f"there are no weights at {path}. Make them with `kcd-pipeline train-teacher CONFIG`, or set "
            f"teacher.weights to a file of a state dict (safetensors, or a checkpoint by torch.save)."
        )
    if is_torch_file(path):
        return without_prefix(read_torch_file(path)), {}
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("kcd", "{}"))
            state = {name: file.get_tensor(name) for name in list(file.keys())}
            return state if facts else without_prefix(state), facts
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is neither a readable safetensors file ({error}) nor a checkpoint by torch.save. Fetch or make it "
            f"again, or name another file."
        ) from error


def fill_model(model: nn.Module, state: Mapping[str, Tensor], *, source: Path, name: str) -> None:
    """Load `state` into `model`, in place; nothing is left as initialised and nothing is left over.

    Raises
    ------
    UserError
        Listing parameters that are missing, unexpected or of another shape, and the closest known architecture.
    """
    own = model.state_dict()
    # torch counts batches since 0.4.1; older checkpoints lack a number that nothing here depends on
    uncounted = not any(key.endswith(COUNTED) for key in state)
    state = {key: torch.zeros_like(own[key]) for key in own if uncounted and key.endswith(COUNTED)} | dict(state)
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
        from kcd_pipeline.models.recognition import closest  # it builds every model there is

        likeness = closest(state)
        raise UserError(
            f"the weights in {source} are not those of a {name}: {found}.{f' {likeness}.' if likeness else ''} Name "
            f"the model that they belong to, or other weights."
        )
    model.load_state_dict(state)


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
