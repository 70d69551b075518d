"""The runs that a user means: the folders that were named, or all runs below them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kcd_pipeline.errors import UserError
from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.runs import RunFolder, read_settings, require_run


@dataclass(frozen=True, kw_only=True)
class FoundRuns:
    """Folders of students' runs, and folders below those that were named which are none, with the reason."""

    runs: tuple[Path, ...]
    left_out: tuple[str, ...]


def find_runs(paths: Sequence[Path], *, missing_ok: bool = False) -> FoundRuns:
    """Return the runs at `paths`, or below them, in that order and then by name; one that is found twice counts once.

    Raises
    ------
    UserError
        If there is nothing at a path, or neither a run of a student nor one below it, unless `missing_ok`.
    """
    runs: dict[Path, Path] = {}
    left_out: list[str] = []
    for path in paths:
        if missing_ok and not path.exists():
            continue
        below = [path] if RunFolder(path).exists or not path.is_dir() else folders_with_a_config(path)
        found = [folder for folder in below if folder == path or _is_students(folder, left_out)]
        if not found and not missing_ok:
            require_run(path)  # raises, for it is none
        for folder in found:
            runs.setdefault(folder.resolve(), folder)
        if found != [path]:
            left_out += _others(path, below)
    return FoundRuns(runs=tuple(runs.values()), left_out=tuple(left_out))


def folders_with_a_config(parent: Path) -> list[Path]:
    """Return the folders below `parent` that hold a config.yaml, by name; nothing inside these and inside stores."""
    found = []
    for folder, inner, files in os.walk(parent):
        inner.sort()
        if "config.yaml" in files:
            found.append(Path(folder))
        if "config.yaml" in files or "zarr.json" in files:
            inner.clear()
    return found


def _is_students(folder: Path, left_out: list[str]) -> bool:
    """Return True if `folder` is the run of a student; add to `left_out` what it is if it is not."""
    try:
        of_student = "student" in read_settings(RunFolder(folder))
    except UserError:
        left_out.append(f"{shown_in_line(str(folder))} (a config.yaml that is not that of a run)")
        return False
    if not of_student:
        left_out.append(f"{shown_in_line(str(folder))} (the training of a teacher)")
    return of_student


def _others(parent: Path, found: Sequence[Path]) -> list[str]:
    """Return the folders right below `parent` that hold none of the folders `found`."""
    inside = {folder.relative_to(parent).parts[0] for folder in found}
    others = (entry for entry in sorted(parent.iterdir()) if entry.is_dir() and entry.name not in inside)
    return [f"{shown_in_line(str(entry))} (no run)" for entry in others if not entry.name.startswith(".")]
