"""Claiming a folder for a run: which settings must stay the same when a run goes on, and which may change."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.errors import UserError
from kcd_pipeline.runs.folder import RunFolder
from kcd_pipeline.runs.removal import remove_run, require_removable
from kcd_pipeline.runs.settings import fixed_settings, with_defaults
from kcd_stores.knowledge import Difference, difference_lines, differences, flatten
from kcd_stores.knowledge.description import MISSING


def claim_folder(
    folder: RunFolder,
    config: Mapping[str, Any],
    origin: Mapping[str, Any],
    *,
    key: str = "run.dir",
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Begin a run in `folder`, or go on with the run of the same config there; never touch files of anything else.

    Parameters
    ----------
    folder
        The folder to claim. It may be missing.
    config
        The resolved config, as plain data.
    origin
        Content hashes of the data set and the store. A run goes on only with the same content, wherever that lies.
    key
        The key of the recipe that decides the folder, for messages.
    resume
        Require that there is a run to go on with.
    overwrite
        Put a new run in the place of any that is in the folder.

    Raises
    ------
    UserError
        If the folder holds something other than a run, or a run of another config or on other content, or if there is
        none although `resume` asks for one.
    """
    if not folder.exists:
        _require_nothing_else(folder, key)
        if resume:
            raise UserError(f"there is no run to resume at {folder.path}. Leave --resume out to start it.")
        folder.begin(config, origin)
    elif overwrite:
        require_removable(folder, key=key)
        remove_run(folder)
        folder.begin(config, origin)
    else:
        require_same_run(folder, config, origin, key=key)


def _require_nothing_else(folder: RunFolder, key: str) -> None:
    """Raise if the folder, which holds no run, holds anything but what a killed run leaves before it has begun."""
    if folder.path.is_symlink() and not folder.path.exists():
        raise UserError(
            f"{folder.path} is a link to {folder.path.readlink()}, where nothing is. Make that folder, remove the "
            f"link, or set {key} to another place."
        )
    if not folder.path.exists():
        return
    if not folder.path.is_dir():
        raise UserError(f"{folder.path} is a file, not a folder, and is left alone. Set {key} to a new place.")
    begun = {folder.origin.name, *(f"{mark.name}.partial" for mark in (folder.origin, folder.config))}
    foreign = sorted(entry.name for entry in folder.path.iterdir() if entry.name not in begun)
    if foreign:
        raise UserError(
            f"{folder.path} exists and is not a run (it holds {foreign[0]} but no config.yaml), so it is left alone. "
            f"Set {key} to a new place."
        )


def require_same_run(
    folder: RunFolder, config: Mapping[str, Any], origin: Mapping[str, Any] | None = None, *, key: str = "run.dir"
) -> None:
    """Raise UserError if the run in the folder differs from `config` in a fixed setting, or from `origin` if given."""
    older = with_defaults(flatten(fixed_settings(folder.read_config())))
    found = differences(older, fixed_settings(config)) + _left_out(older, config)
    if origin is not None:
        began_with = folder.read_origin()
        found += differences(began_with, _as_recorded_then(began_with, origin))
    if found:
        raise UserError(
            f"{folder.path} belongs to a run of another config:\n{difference_lines(found)}\n"
            f"Set {key} to another place, undo the difference, or give --overwrite to start anew there."
        )


def _as_recorded_then(began_with: Mapping[str, Any], origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return `origin` without the digests of parts that the run did not record, as versions before did of some parts.

    The names of all parts are among the settings, so a part that was changed for another is found there.
    """
    recorded = began_with.get("parts")
    known = recorded if isinstance(recorded, Mapping) else {}
    parts = {key: digest for key, digest in origin.get("parts", {}).items() if key in known}
    return {key: value for key, value in origin.items() if key != "parts"} | ({"parts": parts} if parts else {})


def _left_out(older: Mapping[str, Any], config: Mapping[str, Any]) -> list[Difference]:
    """Return the arguments of a part that the run had, with dotted keys in `older`, and `config` does not give."""
    given = flatten(config)
    return [
        Difference(key=key, found=value, expected=MISSING)
        for key, value in older.items()
        if "arguments." in key and key not in given
    ]
