"""Run folders: the files in them, how a run claims one, and how to read one that a user names."""

from kcd_pipeline.runs.claim import claim_folder
from kcd_pipeline.runs.folder import RunFolder
from kcd_pipeline.runs.reading import read_condensing_config, read_epochs, read_settings, require_run

__all__ = [
    "RunFolder",
    "claim_folder",
    "read_condensing_config",
    "read_epochs",
    "read_settings",
    "require_run",
]
