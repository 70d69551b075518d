"""Checkpoints of whole training states, one folder an epoch: there whole, or not at all."""

import os
import shutil
from pathlib import Path
from typing import Any

from kcd_pipeline.files import read_json, write_json

PREFIX = "epoch-"


def save_checkpoint(accelerator: Any, folder: Path, epoch: int, state: dict[str, Any]) -> None:
    """Save model, optimizer and `state` (JSON) after `epoch`, then remove the checkpoints before it."""
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


def load_checkpoint(accelerator: Any, folder: Path) -> dict[str, Any] | None:
    """Restore the newest checkpoint into what `accelerator` prepared; its `state`, or None when there is none."""
    if not folder.is_dir():
        return None
    whole = sorted(path for path in folder.iterdir() if path.suffix != ".partial")
    if not whole:
        return None
    accelerator.load_state(str(whole[-1]))
    state: dict[str, Any] = read_json(whole[-1] / "state.json")
    return state


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
