"""Removing a run for a new one in its place: only what is provably a run, only what a run writes, and through no link.

A folder of the user's may hold a `config.yaml`, a `checkpoint/` or a `metrics.jsonl` of something else.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kcd_pipeline.errors import UserError
from kcd_pipeline.runs.folder import RunFolder

SECTIONS = ("data", "augmentation", "teacher", "run")  # in the config of every run, be it a student's or a teacher's

# entries of two folders that other programs write to as well; all of the other folders of a run is the run's
WRITTEN = {"tensorboard": re.compile(r"events\.out\.tfevents\..*"), "checkpoint": re.compile(r"epoch-\d+(\.partial)?")}


def require_removable(folder: RunFolder, *, key: str) -> None:
    """Raise UserError unless what is in `folder` was provably written by a run, and the folder is no link.

    Parameters
    ----------
    key
        The key of a recipe that decides the folder.
    """
    if folder.path.is_symlink():
        raise UserError(
            f"{folder.path} is a link to {folder.path.resolve()}, and --overwrite removes nothing through a link. Set "
            f"{key} to the place itself, or remove the link."
        )
    if doubt := _doubt(folder):
        raise UserError(
            f"{folder.path} holds a config.yaml, but is not provably a run of kcd-pipeline ({doubt}), so --overwrite "
            f"leaves it alone. Set {key} to a new place, or remove the folder yourself."
        )


def _doubt(folder: RunFolder) -> str | None:
    """Return the reason why `folder` may be somebody else's; None if there is none."""
    try:
        config, origin = _mapping(folder.read_config()), _mapping(folder.read_origin())
    except UserError:
        return "its config.yaml or origin.json is missing or cannot be read"
    lacking = [section for section in SECTIONS if not isinstance(config.get(section), Mapping)]
    if lacking:
        return f"its config.yaml has no section '{lacking[0]}'"
    return None if isinstance(origin.get("dataset"), str) else "its origin.json names no data set"


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return `value`, which a file of anybody's held, or an empty mapping if it is none."""
    return value if isinstance(value, Mapping) else {}


def remove_run(folder: RunFolder) -> None:
    """Remove what the run in `folder` wrote, except its config and its origin; keep all other files.

    These two mark the folder as that of a run until the next one replaces them, so that a call that is killed in
    between can be made again. The summary goes first, for a run that has one counts as finished.
    """
    marks = (folder.config, folder.origin)
    written = [entry for entry in vars(folder).values() if entry not in (folder.path, folder.summary, *marks)]
    for entry in (folder.summary, *written):
        _remove(entry)


def _remove(entry: Path) -> None:
    """Remove a file or a folder; a link is removed, and what it leads to is left alone."""
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink(missing_ok=True)
    elif entry.name not in WRITTEN:
        shutil.rmtree(entry)
    else:
        for inside in entry.iterdir():
            if WRITTEN[entry.name].fullmatch(inside.name):
                _remove(inside)
        if not any(entry.iterdir()):
            entry.rmdir()
