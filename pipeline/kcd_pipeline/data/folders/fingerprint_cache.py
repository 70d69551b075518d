"""Fingerprints that were taken before, in a file each, which is believed only if it is whole."""

import hashlib
import os
from pathlib import Path
from typing import Any

from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.folders.unreadable import cannot_be_read
from kcd_pipeline.files import write_whole


def cache_file(listing: Listing, facts: Any) -> Path | None:
    """Return the file for the fingerprint of `listing` and `facts`, or None if there is no place for it.

    Its name depends on path, size and times of change of each file, and on all else that is in the fingerprint. It
    lies in `$XDG_CACHE_HOME/kcd-pipeline`, or in `~/.cache/kcd-pipeline`.

    Raises
    ------
    UserError
        If a file is gone, or in a folder that may not be read.
    """
    digest = hashlib.sha256(repr((str(listing.root.resolve()), facts)).encode())
    for sample, label in enumerate(listing.labels.tolist()):
        path = listing.path(sample)
        try:
            status = path.stat()
        except OSError as error:
            raise cannot_be_read(path, error) from error
        # ctime, which no program can set back, finds a change that copied the times of the file before
        times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
        digest.update(f"{label} {status.st_size} {times} ".encode() + os.fsencode(path) + b"\n")
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return base / "kcd-pipeline" / f"fingerprint-{digest.hexdigest()}" if base.is_absolute() else None


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
