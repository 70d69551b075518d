"""Errors that name a file or folder which cannot be read; a missing permission is not damage."""

import os
from pathlib import Path

from kcd_pipeline.errors import UserError


def printable(path: str | Path) -> str:
    r"""Return `path` as text that any terminal and any file takes: a byte that is not UTF-8 becomes `\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")


def cannot_be_read(path: str | Path, error: OSError) -> UserError:
    """Return the error to raise where the system refuses `path`, with what to do about it."""
    if isinstance(error, PermissionError):
        advice = "Give yourself the right to read it, or move it out of data.root."
    elif isinstance(error, FileNotFoundError):
        advice = "It was moved meanwhile, or is a link to nothing. Put it back, or remove the link."
    else:
        advice = "Mend or remove the file."
    return UserError(f"{printable(path)} cannot be read: {error.strerror or error}. {advice}")
