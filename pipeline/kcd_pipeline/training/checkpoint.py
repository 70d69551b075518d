"""Checkpoints of the whole training state, one folder an epoch. Each is complete or does not exist; two are kept.

All that a checkpoint counts on, its own files and what the run has written up to then, is durable before the checkpoint
has its name, and is compared with the checkpoint's manifest before a run goes on from it. If that fails, the run goes
on from the checkpoint before.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.utils._pytree import tree_map_only

from kcd_pipeline.errors import DamagedError, FailedError
from kcd_pipeline.progress import say
from kcd_pipeline.runs import Record, RunFolder, require_as_recorded
from kcd_pipeline.runs.manifest import (
    Manifest,
    checkpoint_name,
    find_checkpoints,
    read_manifest,
    require_files,
    write_manifest,
)
from kcd_pipeline.runs.reading import NO_CHECKSUMS
from kcd_pipeline.runs.record import file_digest
from kcd_pipeline.training.ranks import Ranks
from kcd_pipeline.training.weight_average import WeightAverage
from kcd_stores import CorruptStoreError
from kcd_stores.storage.durable import flush_to_disk, write_whole

KEPT = 2  # a damaged checkpoint costs an epoch, not the run
PARTIAL = ".partial"
NEARLY_FULL = 1 << 20  # bytes left on a disk that has just refused to take more


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The state that a run goes on from, beside models and optimizers; see `Manifest`.

    Attributes
    ----------
    epoch, best, record
        Those of the checkpoint's manifest.
    """

    epoch: int
    best: float
    record: Record | None


# --- saving -------------------------------------------------------------------------------------------------


def save_checkpoint(accelerator: Any, folder: RunFolder, epoch: int, *, best: float, record: Record) -> None:
    """Save model, optimizer and best weights after `epoch`, with their manifest; then remove all but two checkpoints.

    Raises
    ------
    OSError, FailedError
        If the disk is full or does not take the files; earlier checkpoints are untouched.
    """
    folder.checkpoint.mkdir(parents=True, exist_ok=True)
    final = folder.checkpoint / checkpoint_name(epoch)
    partial = final.with_name(f"{final.name}{PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    with _full_disks_named(partial):
        accelerator.save_state(str(partial), safe_serialization=True)
        shutil.copyfile(folder.best_weights, partial / folder.best_weights.name)
        for file in partial.iterdir():
            flush_to_disk(file)
        write_manifest(partial, epoch, best, record)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    flush_to_disk(folder.checkpoint)
    flush_to_disk(folder.path)
    _remove_others(folder.checkpoint)


@contextmanager
def _full_disks_named(partial: Path) -> Iterator[None]:
    """Make errors of torch and safetensors about writing name the disk; remove what was written in vain."""
    try:
        yield
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except (RuntimeError, SafetensorError) as error:
        full = partial.is_dir() and shutil.disk_usage(partial).free < NEARLY_FULL
        shutil.rmtree(partial, ignore_errors=True)
        if full or os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial)) from error
        raise FailedError(
            f"the checkpoint {partial} could not be written ({error}). The checkpoints before it are kept, and the "
            f"same command goes on from them."
        ) from error


def _remove_others(folder: Path) -> None:
    """Remove all but the newest checkpoints, and what killed runs left of others."""
    for checkpoint in find_checkpoints(folder)[KEPT:]:
        shutil.rmtree(checkpoint)
    for partial in folder.glob(f"epoch-*{PARTIAL}"):
        shutil.rmtree(partial)


# --- loading ------------------------------------------------------------------------------------------------


def load_checkpoint(
    ranks: Ranks, accelerator: Any, folder: RunFolder, average: WeightAverage | None = None
) -> Restored | None:
    """Load the newest sound checkpoint of a run into the models and optimizers that `accelerator` prepared.

    Rank 0 reads it and sends it to the others, which need not see the folder.

    Parameters
    ----------
    average
        The average of the weights, which a hook of `accelerator` loads; None without one.

    Returns
    -------
    restored
        What was saved with it; None if the run has no checkpoint yet.

    Raises
    ------
    DamagedError, CorruptStoreError
        If there is no sound one, and what is damaged in the newest.
    """
    if not ranks.several:
        return _restore(accelerator, folder)
    parts = [*accelerator._models, *accelerator._optimizers, *filter(None, [accelerator.scaler, average])]

    def read_on_first() -> tuple[Restored | None, list[Any]]:
        restored = _restore(accelerator, folder)
        return restored, [] if restored is None else [_on_host(part.state_dict()) for part in parts]

    restored, contents = ranks.run_on_first(read_on_first)
    if restored is not None and not ranks.is_first:
        for part, content in zip(parts, contents, strict=True):
            part.load_state_dict(content)
    return restored


def _on_host(state: Any) -> Any:
    return tree_map_only(Tensor, Tensor.cpu, state)


def _restore(accelerator: Any, folder: RunFolder) -> Restored | None:
    damage: DamagedError | CorruptStoreError | None = None
    for checkpoint in find_checkpoints(folder.checkpoint):
        try:
            restored = _restore_from(accelerator, folder, checkpoint)
        except (DamagedError, CorruptStoreError) as error:
            damage = damage or error
            continue
        if damage is not None:
            say(f"{damage.problem} Going on from the checkpoint before, which is sound: {checkpoint}.")
        return restored
    if damage is not None:
        raise damage
    if len(folder.metrics_lines()) > 1:  # the first is written before the first checkpoint
        raise DamagedError(
            f"{folder.checkpoint} has no checkpoint, and {folder.summary} is missing, but {folder.metrics} has "
            f"{len(folder.metrics_lines())} epochs: something was deleted."
        )
    return None


def _restore_from(accelerator: Any, folder: RunFolder, checkpoint: Path) -> Restored:
    """Load one checkpoint after a look at all that its manifest knows."""
    manifest = read_manifest(checkpoint)
    if manifest.record is None:
        say(NO_CHECKSUMS.format(folder.path))
        if len(folder.metrics_lines()) <= manifest.epoch:
            raise DamagedError(f"{folder.metrics} is damaged: it has fewer than {manifest.epoch + 1} whole lines.")
    else:
        require_files(checkpoint, manifest)
        require_as_recorded(folder, manifest.record)
    _load(accelerator, checkpoint)
    _put_back_best_weights(folder, checkpoint, manifest)
    return Restored(epoch=manifest.epoch, best=manifest.best, record=manifest.record)


def _load(accelerator: Any, checkpoint: Path) -> None:
    try:
        accelerator.load_state(str(checkpoint))
    except (PermissionError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # files of the first format may hold anything, of which their parsers raise anything
        raise DamagedError(f"{checkpoint} cannot be loaded ({type(error).__name__}: {error}).") from error


def _put_back_best_weights(folder: RunFolder, checkpoint: Path, manifest: Manifest) -> None:
    """Make the run's best weights those of the time of the checkpoint: an epoch after it may have replaced them."""
    name = folder.best_weights.name
    if name not in manifest.files:
        return
    if not folder.best_weights.is_file() or file_digest(folder.best_weights) != manifest.files[name]:
        write_whole(folder.best_weights, (checkpoint / name).read_bytes(), durably=True)
        flush_to_disk(folder.path)
