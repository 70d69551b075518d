"""Checkpoints of the whole training state, one folder an epoch. Each is complete or does not exist."""

import os
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only

from kcd_pipeline.files import read_json, write_json
from kcd_pipeline.training.ranks import Ranks

PREFIX = "epoch-"


def save_checkpoint(accelerator: Any, folder: Path, epoch: int, state: dict[str, Any]) -> None:
    """Save model, optimizer and `state` (JSON) after `epoch`, then remove all other checkpoints.

    The files are durable before the checkpoint gets its final name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{PREFIX}{epoch:05d}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    accelerator.save_state(str(partial), safe_serialization=True)
    write_json(partial / "state.json", {"epoch": epoch, **state})
    for file in partial.iterdir():
        _flush(file)
    final = folder / f"{PREFIX}{epoch:05d}"
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _flush(folder)
    _remove_others(folder, final)


def _remove_others(folder: Path, final: Path) -> None:
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other)


def load_checkpoint(ranks: Ranks, accelerator: Any, folder: Path) -> dict[str, Any] | None:
    """Load the newest checkpoint into the models and optimizers that `accelerator` prepared.

    Rank 0 reads it and sends it to the others, which need not see the folder.

    Returns
    -------
    state
        The `state` that was saved with it, and its `epoch`; None if there is no checkpoint.
    """
    if not ranks.several:
        return _read(accelerator, folder)
    restored = [*accelerator._models, *accelerator._optimizers, *filter(None, [accelerator.scaler])]

    def read_on_first() -> tuple[dict[str, Any] | None, list[Any]]:
        state = _read(accelerator, folder)
        return state, [] if state is None else [_on_host(part.state_dict()) for part in restored]

    state, contents = ranks.run_on_first(read_on_first)
    if state is not None and not ranks.is_first:
        for part, content in zip(restored, contents, strict=True):
            part.load_state_dict(content)
    return state


def _on_host(state: Any) -> Any:
    return tree_map_only(Tensor, Tensor.cpu, state)


def _read(accelerator: Any, folder: Path) -> dict[str, Any] | None:
    if not folder.is_dir():
        return None
    complete = sorted(path for path in folder.iterdir() if path.suffix != ".partial")
    if not complete:
        return None
    accelerator.load_state(str(complete[-1]))
    state: dict[str, Any] = read_json(complete[-1] / "state.json")
    return state


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
