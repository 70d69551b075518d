"""Folders that several test files read, and that one of them makes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder `name`, filled by `make` in whichever process of this session of pytest needs it first.

    Its files are shared with other processes, so tests may read them and must change none.
    """
    base = factory.getbasetemp()
    shared = (
        base.parent if base.name.startswith("popen-") else base
    )  # each process of xdist has a folder in a common one
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
