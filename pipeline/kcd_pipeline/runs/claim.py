"""Claiming a folder for a run: which settings must stay the same when a run is resumed, and which may change."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.config import MOVABLE_KEYS
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs.folder import RunFolder
from kcd_stores.knowledge import difference_lines, differences


def claim_folder(
    folder: RunFolder, config: Mapping[str, Any], origin: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> None:
    """Begin a run in `folder`, or require that the run there may be resumed; never touch files of anything else.

    Parameters
    ----------
    folder
        The folder to claim. It may be missing.
    config
        The resolved config, as plain data.
    origin
        Content hashes of the data set and the store. A run is resumed only on the same content, wherever that lies.
    resume
        Continue the run of this config that is in the folder.
    overwrite
        Remove any run that is in the folder first.

    Raises
    ------
    UserError
        If the folder holds something other than a run, or a run of another config or on other content; if it holds a
        run and `resume` is false; or if there is nothing to resume.
    """
    if not folder.exists:
        _require_nothing_else(folder)
    elif overwrite:
        folder.clear()
    if folder.exists:
        _require_same(folder, config, origin)
        if not resume:
            raise UserError(_already_there(folder))
    elif resume:
        raise UserError(f"there is no run to resume at {folder.path}. Leave --resume out to start it.")
    else:
        folder.begin(config, origin)


def _require_nothing_else(folder: RunFolder) -> None:
    """Raise if the folder, which holds no run, holds anything but what a killed run leaves before it has begun."""
    if not folder.path.exists():
        return
    foreign = [
        entry.name for entry in folder.path.iterdir() if entry.suffix != ".partial" and entry.name != folder.origin.name
    ]
    if foreign:
        raise UserError(
            f"{folder.path} exists and is not a run (it holds {foreign[0]} but no config.yaml), so it is left alone. "
            f"Set run.dir to a new folder."
        )


def _require_same(folder: RunFolder, config: Mapping[str, Any], origin: Mapping[str, Any]) -> None:
    """Raise if the run in the folder differs from `config` in a fixed setting, or from `origin`."""
    found = differences(_fixed_settings(folder.read_config()), _fixed_settings(config))
    found += differences(folder.read_origin(), origin)
    if found:
        raise UserError(
            f"{folder.path} belongs to a run of another config:\n{difference_lines(found)}\n"
            f"Set run.dir to another folder, or undo the difference."
        )


def _fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` without its movable keys."""
    return {
        section: {key: value for key, value in values.items() if f"{section}.{key}" not in MOVABLE_KEYS}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }


def _already_there(folder: RunFolder) -> str:
    """Return the message for a run of this config that the user did not ask to resume."""
    if folder.finished:
        return (
            f"{folder.path} holds a finished run of this config. Set run.dir to another folder, or give --overwrite "
            f"to replace it."
        )
    return (
        f"{folder.path} holds a run of this config that is not finished ({len(folder.read_metrics())} epochs done). "
        f"Give --resume to continue it, or --overwrite to start again."
    )
