"""Small files that are either complete or not there at all, and the folder of those that may be made anew."""

import json
import os
from pathlib import Path
from typing import Any

from kcd_stores.storage.durable import flush_to_disk


def write_whole(path: Path, *parts: str | bytes | memoryview) -> None:
    """Write text (as UTF-8) or bytes, one part after the other, to a temporary name, flush it, and rename it to `path`.

    The file and its name are durable when this returns. If it fails, as on a disk that is full, nothing is left of it.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            for part in parts:
                file.write(part.encode() if isinstance(part, str) else part)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush_to_disk(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with `write_whole`.

    Raises
    ------
    ValueError
        If `value` holds NaN or an infinity, which JSON cannot express.
    """
    write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or is not JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))


def cache_folder() -> Path | None:
    """Return the folder of what may be made anew at any time, or None if the user has no place for such."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return base / "kcd-pipeline" if base.is_absolute() else None
