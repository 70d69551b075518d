"""Reading the folder of a run that a user names: every function says plainly what is wrong with it."""

import json
from pathlib import Path
from typing import Any

from kcd_pipeline.errors import UserError
from kcd_pipeline.runs.folder import RunFolder


def require_run(path: Path) -> RunFolder:
    """Return the run folder at `path`.

    Raises
    ------
    UserError
        If there is nothing, or something other than a run.
    """
    folder = RunFolder(path)
    if not path.exists():
        raise UserError(
            f"there is no run at {path} (in {Path.cwd()}). Give the folders that `kcd-pipeline distill` made."
        )
    if not folder.exists:
        kind = "a knowledge store or part of one" if (path / "zarr.json").is_file() else "something else"
        found = f"{kind}: it has no config.yaml" if path.is_dir() else "a file, not a folder"
        raise UserError(
            f"{path} is not the folder of a run but {found}. Give the folders that `kcd-pipeline distill` made."
        )
    return folder


def read_settings(folder: RunFolder) -> dict[str, Any]:
    """Return the resolved config of the run of a student, or of the training of a teacher.

    Raises
    ------
    UserError
        If the file is not such a config.
    """
    config: Any = folder.read_config()  # anyone may have written the file, so it can hold anything
    of_student = isinstance(config, dict) and "student" in config
    for section in ("teacher", "student", "distill") if of_student else ("teacher",):
        if not (isinstance(config, dict) and isinstance(config.get(section), dict)):
            raise UserError(
                f"{folder.config} is not the config of a run: it has no section '{section}'. "
                f"Give the folders that `kcd-pipeline distill` made."
            )
    return dict(config)


def read_epochs(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the metrics of a run, one mapping for each epoch.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    try:
        return folder.read_metrics()
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            f"{folder.metrics} is damaged: {error}. Restore it from a copy, or do the run again."
        ) from error


def read_condensing_config(folder: RunFolder, *, asked_by: str) -> dict[str, Any]:
    """Return the resolved config, as plain data, of a run that condenses.

    Parameters
    ----------
    folder
        The run's folder.
    asked_by
        The config key or argument that named the folder, for messages.

    Raises
    ------
    UserError
        If there is no run, or it is of another method.
    """
    if not folder.exists:
        raise UserError(
            f"{asked_by}: there is no run at {folder.path} (in {Path.cwd()}). Give the folder of a run that "
            f"`kcd-pipeline distill --method kcd` made."
        )
    config: Any = folder.read_config()
    method = config.get("distill", {}).get("method") if isinstance(config, dict) else None
    if method != "kcd":
        found = "no student's run" if method is None else f"a run of method {method}"
        raise UserError(f"{asked_by}: {folder.path} is {found}, which has no plans; expected a run of method kcd.")
    return dict(config)
