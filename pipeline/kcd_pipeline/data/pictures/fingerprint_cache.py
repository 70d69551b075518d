"""Fingerprints and normalisations that were taken before, in a file each, which is believed only if it is whole."""

import hashlib
from pathlib import Path
from typing import Any

from kcd_pipeline.data.pictures.source import PictureSource
from kcd_pipeline.files import cache_folder, write_whole


def cache_file(source: PictureSource, facts: Any, kind: str = "fingerprint") -> Path | None:
    """Return the file for what is taken of `source` by `facts`, or None if there is no place for it.

    Its name depends on the stamp of the source, and on all else that the result depends on. It lies in
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
    return folder / f"{kind}-{digest.hexdigest()}"


def kept(file: Path | None) -> str | None:
    """Return the line in `file`, or None if there is none, or the file is not as it was written."""
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError:
        return None  # it is taken anew
    line = content.partition(b"\n")[0].decode("ascii", errors="replace")
    return line if content == _content(file, line) else None


def keep(file: Path | None, line: str) -> None:
    """Write `line` to `file`; without a cache that can be written, every start takes longer, and that is all."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, _content(file, line))
    except OSError:
        return


def _content(file: Path, line: str) -> bytes:
    """Return the line and a checksum of it and of the name of its file."""
    return f"{line}\n{hashlib.sha256((file.name + line).encode()).hexdigest()}\n".encode()
