"""Signs by which it is told whether files have changed since they were read."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from kcd_pipeline.data.pictures.unreadable import cannot_be_read


def stamp_of(root: Path, files: Iterable[Path | str]) -> bytes:
    """Return a SHA-256 over `root`, and path, size and times of change of each of `files`.

    Raises
    ------
    UserError
        If a file is gone, or in a folder that may not be read.
    """
    digest = hashlib.sha256(os.fsencode(root) + b"\n")
    for path in files:
        try:
            status = os.stat(path)  # noqa: PTH116  # it may be text
        except OSError as error:
            raise cannot_be_read(Path(path), error) from error
        # ctime, which no program can set back, finds a change that copied the times of the file before
        facts = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} "
        digest.update(facts.encode() + os.fsencode(path) + b"\n")
    return digest.digest()
