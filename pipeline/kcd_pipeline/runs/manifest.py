"""The manifest of a checkpoint: what a run resumes with, and the digests of its files and of all that the run wrote.

checkpoint/epoch-00003/     the state after epoch 3, counted from 0
    model.safetensors, optimizer.bin, ...   as accelerate writes them
    best.safetensors                        the best weights up to then
    average.safetensors                     the average of the weights, with `ema`
    manifest.json                           written last

Checkpoints of the first format have a `state.json` in place of a manifest.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.files import write_json
from kcd_pipeline.runs.record import Record, file_digest, read_sealed, sealed

MANIFEST, FIRST_FORMAT = "manifest.json", "state.json"


class Manifest(BaseModel):
    """The content of a manifest.

    Attributes
    ----------
    epoch
        The epoch, counted from 0, after which the checkpoint was written.
    best
        Best accuracy up to then, by which the best epoch is chosen, 0..1.
    files
        SHA-256 of each other file of the checkpoint, by its name; empty for the first format.
    record
        Digests of what the run had written up to then; None for the first format.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int = Field(ge=0)
    best: float = Field(ge=0, le=1)
    files: dict[str, str] = {}
    record: Record | None = None


def checkpoint_name(epoch: int) -> str:
    """Return the name of the folder of the checkpoint after `epoch`."""
    return f"epoch-{epoch:05d}"


def find_checkpoints(folder: Path) -> list[Path]:
    """Return the folders of the complete checkpoints in `folder`, the newest first."""
    if not folder.is_dir():
        return []
    found = [entry for entry in folder.iterdir() if re.fullmatch(r"epoch-\d+", entry.name) and entry.is_dir()]
    return sorted(found, key=lambda entry: int(entry.name.removeprefix("epoch-")), reverse=True)


def write_manifest(checkpoint: Path, epoch: int, best: float, record: Record) -> None:
    """Write the manifest of the files that are in a checkpoint, durably."""
    files = {file.name: file_digest(file) for file in sorted(checkpoint.iterdir())}
    manifest = Manifest(epoch=epoch, best=best, files=files, record=record)
    write_json(checkpoint / MANIFEST, sealed(manifest.model_dump(mode="json")))


def read_manifest(checkpoint: Path) -> Manifest:
    """Read the manifest of a checkpoint, or what the first format has in its place.

    Raises
    ------
    DamagedError
        If it is missing, or is not what was written.
    """
    first_format = not (checkpoint / MANIFEST).is_file() and (checkpoint / FIRST_FORMAT).is_file()
    file = checkpoint / (FIRST_FORMAT if first_format else MANIFEST)
    try:
        manifest = Manifest.model_validate(read_sealed(file))
    except FileNotFoundError as error:
        raise DamagedError(f"{checkpoint} is damaged: it has no {MANIFEST}.") from error
    except ValidationError as error:
        raise DamagedError(f"{file} is damaged: {_first(error)}.") from error
    if checkpoint.name != checkpoint_name(manifest.epoch) or (manifest.record is None) != first_format:
        raise DamagedError(f"{file} is damaged: it is not that of this checkpoint.")
    if manifest.record is not None and manifest.record.epochs != manifest.epoch + 1:
        raise DamagedError(f"{file} is damaged: its record is of {manifest.record.epochs} epochs.")
    return manifest


def require_files(checkpoint: Path, manifest: Manifest) -> None:
    """Raise DamagedError unless every file of a checkpoint is what was written."""
    for name, digest in manifest.files.items():
        file = checkpoint / name
        try:
            if file_digest(file) != digest:
                raise DamagedError(f"{file} is damaged: its SHA-256 is not the one in {MANIFEST}.")
        except FileNotFoundError as error:
            raise DamagedError(f"{file} is missing.") from error


def _first(error: ValidationError) -> str:
    details: Any = error.errors()[0]
    return f"{'.'.join(map(str, details['loc']))}: {details['msg']}"
