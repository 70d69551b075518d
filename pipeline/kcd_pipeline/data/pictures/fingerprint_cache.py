"""Fingerprints that were taken before, in a file each, which is believed only if it is whole."""

import hashlib
import os
from pathlib import Path
from typing import Any

from kcd_pipeline.data.pictures.source import PictureSource
from kcd_pipeline.files import write_whole


def cache_file(source: PictureSource, facts: Any) -> Path | None:
    """Return the file for the fingerprint of `source` and `facts`, or None if there is no place for it.

    Its name depends on the stamp of the source, and on all else that is in the fingerprint. It lies in
    `$XDG_CACHE_HOME/kcd-pipeline`, or in `~/.cache/kcd-pipeline`.

    Raises
    ------
    UserError
        If a file is gone, or in a folder that may not be read.
    """
    stamp, folder = source.stamp(), cache_folder()
    if stamp is None or folder is None:
        return None
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(stamp)
    digest.update(source.labels.astype("<i8").tobytes())
    return folder / f"fingerprint-{digest.hexdigest()}"


def cache_folder() -> Path | None:
    """Return the folder of what may be made anew at any time, or None if the user has no place for such."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return base / "kcd-pipeline" if base.is_absolute() else None


def kept(file: Path | None) -> str | None:
    """Return the fingerprint in `file`, or None if there is none, or the file is not as it was written."""
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError:
        return None  # it is taken anew
    fingerprint = content[:64].decode("ascii", errors="replace")
    return fingerprint if content == _content(file, fingerprint) else None


def keep(file: Path | None, fingerprint: str) -> None:
    """Write `fingerprint` to `file`; without a cache that can be written, every start takes longer, and that is all."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, _content(file, fingerprint))
    except OSError:
        return


def _content(file: Path, fingerprint: str) -> bytes:
    """Return the fingerprint and a checksum of it and of the name of its file."""
    return f"{fingerprint}\n{hashlib.sha256((file.name + fingerprint).encode()).hexdigest()}\n".encode()
