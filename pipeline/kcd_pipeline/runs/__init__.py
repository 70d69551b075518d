"""Run folders: the files in them, how a run claims one, and how to read one that a user names."""

from kcd_pipeline.runs.claim import claim_folder, require_same_run
from kcd_pipeline.runs.folder import AVERAGED, OWN_METRICS, RunFolder
from kcd_pipeline.runs.predictions import Predictions, read_predictions
from kcd_pipeline.runs.reading import (
    open_plans,
    open_values,
    read_condensing_config,
    read_epochs,
    read_settings,
    require_as_recorded,
    require_run,
)
from kcd_pipeline.runs.record import Record

__all__ = [
    "AVERAGED",
    "OWN_METRICS",
    "Predictions",
    "Record",
    "RunFolder",
    "claim_folder",
    "open_plans",
    "open_values",
    "read_condensing_config",
    "read_epochs",
    "read_predictions",
    "read_settings",
    "require_as_recorded",
    "require_run",
    "require_same_run",
]
