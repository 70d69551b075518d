"""Weights in files: written whole with a digest, read from any container, and hashed by content."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.files import write_whole
from kcd_pipeline.models.torch_files import is_torch_file, read_torch_file
from kcd_pipeline.models.wrappers import without_wrappers

FACTS, DIGEST = "kcd", "kcd_sha256"  # the keys of a safetensors header under which both are written


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """The content of a file of weights.

    Attributes
    ----------
    state
        The state dict, under the names of the model itself.
    facts
        What `save_weights` wrote beside it; `{}` for a file of other make.
    wrappers
        Marks of wrappers that were taken off the names, as words for the user.
    """

    state: dict[str, Tensor]
    facts: dict[str, Any]
    wrappers: tuple[str, ...] = ()


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the state dict of `model` as safetensors; whole or not at all.

    The header has `facts` as JSON, and a digest of them and of all tensors.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = independent_tensors(model.state_dict())
    told = json.dumps(facts)
    write_whole(path, _in_order(save(tensors, metadata={FACTS: told, DIGEST: _digest(told, tensors)})))


def _in_order(data: bytes) -> bytes:
    """Return safetensors with the metadata in order: the library's is random, so equal weights would be other bytes."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    ordered += b" " * (-len(ordered) % 8)
    return len(ordered).to_bytes(8, "little") + ordered + data[8 + size :]


def independent_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a state dict on the CPU, contiguous, and none in the memory of another."""
    found, seen = {}, set()
    for name, tensor in state.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        found[name] = own.clone() if place in seen else own
        seen.add(place)
    return found


def load_weights(path: str | Path) -> Weights:
    """Read the file of weights at `path`: safetensors, or a checkpoint by torch.save.

    Raises
    ------
    UserError
        If there is no such file, it is not readable, or it holds no state dict.
    FailedError
        If it was written by `save_weights` and is not what was written.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"there are no weights at {path}. Make them with `kcd-pipeline train-teacher CONFIG`, or set "
            f"teacher.weights to a file of a state dict (safetensors, or a checkpoint by torch.save)."
        )
    if is_torch_file(path):
        state, wrappers = without_wrappers(read_torch_file(path))
        return Weights(state=state, facts={}, wrappers=wrappers)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in list(file.keys())}
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # another's bytes are parsed here, which may raise anything
        raise UserError(
            f"{path} is neither a readable safetensors file ({error}) nor a checkpoint by torch.save. Fetch or make it "
            f"again, or name another file."
        ) from error
    if FACTS in header or DIGEST in header:
        return Weights(state=state, facts=_sound_facts(path, header, state))
    state, wrappers = without_wrappers(state)
    return Weights(state=state, facts={}, wrappers=wrappers)


def _sound_facts(path: Path, header: Mapping[str, str], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the facts in the header of a file that `save_weights` wrote.

    A file without a digest, and without anything that may have been its name, is of a version that wrote none.

    Raises
    ------
    FailedError
        If the digest is not that of the file's content.
    """
    told = header.get(FACTS)
    if told is not None and (header.keys() == {FACTS} or header.get(DIGEST) == _digest(told, state)):
        try:
            facts = json.loads(told)
        except ValueError:
            facts = None
        if isinstance(facts, dict):
            return facts
    raise FailedError(
        f"the weights in {path} are damaged: they are not what was written, as the digest in the file's header shows. "
        f"Restore the file from a copy, or remove it and make it again."
    )


def _digest(facts: str, state: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(f"{facts}\n{weights_hash(state)}".encode()).hexdigest()


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
