"""The record of a run: digests of all that it has written, by which damage to any of it is found.

Each checkpoint has a record in its manifest, and a finished run in its summary. Both files hold a checksum of
themselves. Runs of the first format have no records.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.files import read_json

RECORD, CHECKSUM = "record", "checksum"  # keys of a file: the record in it, and its checksum of itself


class Record(BaseModel):
    """Digests of what a run has written in its first epochs.

    Attributes
    ----------
    epochs
        The number of these epochs.
    config
        Of the settings in config.yaml that may not change while the run goes on.
    origin
        Of origin.json.
    metrics
        Of the lines of metrics.jsonl, one an epoch.
    plans
        Of the plan of each stage so far (kcd_stores.runs.plans); a teacher has none.
    values
        Of the values after each epoch (kcd_stores.runs.values); a teacher has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    config: str
    origin: str
    metrics: str
    plans: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _require_one_an_epoch(self) -> "Record":
        if self.values and len(self.values) != self.epochs:
            raise ValueError(f"values of {len(self.values)} epochs, expected {self.epochs}")
        return self


def json_digest(value: Any) -> str:
    """Return the SHA-256, in hex, of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def lines_digest(lines: Sequence[bytes]) -> str:
    """Return the SHA-256, in hex, of lines of a file."""
    return hashlib.sha256(b"".join(lines)).hexdigest()


def file_digest(file: Path) -> str:
    """Return the SHA-256, in hex, of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `content`, JSON to be written to a file, with a checksum of itself."""
    return {**content, CHECKSUM: json_digest(content)}


def read_sealed(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file, without its checksum, which must be right; the first format had none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedError
        If it is not what was written.
    """
    try:
        content = read_json(file)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{file} is damaged: it cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise DamagedError(f"{file} is damaged: it holds no mapping.")
    first_format = RECORD not in content and CHECKSUM not in content
    checksum = content.pop(CHECKSUM, None)
    if not first_format and (RECORD not in content or checksum != json_digest(content)):
        raise DamagedError(f"{file} is damaged: its content does not fit the checksum in it.")
    return content


def parse_record(value: Any, file: Path) -> Record:
    """Return the record that a file holds.

    Raises
    ------
    DamagedError
        If it is none.
    """
    try:
        return Record.model_validate(value)
    except ValidationError as error:
        raise DamagedError(f"{file} is damaged: {error.errors()[0]['msg']} in its record.") from error
