"""Reading the folder of a run that a user names: every function says plainly what is wrong with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kcd_pipeline.errors import DamagedError, UserError
from kcd_pipeline.progress import say
from kcd_pipeline.runs.folder import RunFolder
from kcd_pipeline.runs.manifest import find_checkpoints
from kcd_pipeline.runs.record import Record
from kcd_stores import PlanStore, ValueStore

NO_CHECKSUMS = "{} was made by a version that recorded no checksums of a run, so damage to it may not be noticed."


def require_run(path: str | Path) -> RunFolder:
    """Return the run folder at `path`.

    Raises
    ------
    UserError
        If there is nothing, or something other than a run.
    """
    folder = RunFolder(path)
    path = folder.path
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
    DamagedError
        If the config, origin, metrics or summary of the run are not what was written.
    """
    try:
        config: Any = folder.read_config()  # anyone may have written the file, so it can hold anything
    except UserError:
        _require_recorded(folder)  # that a run's config is damaged says more than that it is none
        raise
    of_student = isinstance(config, dict) and "student" in config
    for section in ("teacher", "student", "distill") if of_student else ("teacher",):
        if not (isinstance(config, dict) and isinstance(config.get(section), dict)):
            raise UserError(
                f"{folder.config} is not the config of a run: it has no section '{section}'. "
                f"Give the folders that `kcd-pipeline distill` made."
            )
    _require_recorded(folder)
    return dict(config)


def read_epochs(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the metrics of a run, one mapping for each epoch that its record is of; of all where there is no record.

    Raises
    ------
    DamagedError
        If they are not what was written.
    """
    record, metrics = folder.recorded(), folder.read_metrics()
    return metrics if record is None else metrics[: record.epochs]


def open_values(folder: RunFolder) -> ValueStore:
    """Open the values of a run, which are compared with its record as they are read.

    Raises
    ------
    StoreError
        If there are none, or they cannot be those of the run.
    DamagedError
        If they do not measure what the run's config says.
    """
    record = folder.recorded()
    values = ValueStore.open(folder.values, recorded=() if record is None else record.values)
    condense = folder.read_config().get("condense")
    expected = condense.get("value", "entropy") if isinstance(condense, Mapping) else "entropy"
    # a student without a teacher records entropies where the value needs one
    if values.measure not in (expected, "entropy"):
        raise DamagedError(
            f"{folder.values / 'zarr.json'} is damaged: measure is {values.measure}, expected {expected}, which "
            f"{folder.config} has as condense.value."
        )
    return values


def open_plans(folder: RunFolder) -> PlanStore:
    """Open the plans of a run: those that its record knows, which are compared with it as they are read."""
    record = folder.recorded()
    return PlanStore(folder.plans, recorded=() if record is None else record.plans)


def require_as_recorded(folder: RunFolder, record: Record) -> None:
    """Read all that a run has written, its weights aside, and raise if it is not what `record` says.

    Raises
    ------
    DamagedError, CorruptStoreError
        If a file is missing, or is not what was written.
    """
    folder.require_recorded(record)
    if record.values:
        ValueStore.open(folder.values, recorded=record.values).require_as_recorded()
    if record.plans:
        for plan in PlanStore(folder.plans, recorded=record.plans).read_all():
            del plan  # read to be checked, one at a time: a run may have hundreds


def _require_recorded(folder: RunFolder) -> None:
    """Raise DamagedError unless the small files of a run are what was written; say so if that cannot be known."""
    record = folder.recorded()
    if record is not None:
        folder.require_recorded(record)
    elif folder.finished or find_checkpoints(folder.checkpoint):
        say(NO_CHECKSUMS.format(folder.path))


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
    DamagedError
        If its config, origin, metrics or summary are not what was written.
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
    _require_recorded(folder)
    return dict(config)
