"""Read runs from their folders into plain records. Everything that a report reads from disk is read here.

`details` is imported by its own name: it loads data sets and torch, which only a page needs.
"""

from kcd_pipeline.reports.collect.checked import read_checked_epochs, read_checked_settings, read_checked_summary
from kcd_pipeline.reports.collect.costs import TrainingCost, training_cost
from kcd_pipeline.reports.collect.runs import (
    CollectedRuns,
    RunRecord,
    UnfinishedRun,
    chosen_by,
    collect_runs,
    epoch_accuracy,
)
from kcd_pipeline.reports.collect.stages import read_stage_facts

__all__ = [
    "CollectedRuns",
    "RunRecord",
    "TrainingCost",
    "UnfinishedRun",
    "chosen_by",
    "collect_runs",
    "epoch_accuracy",
    "read_checked_epochs",
    "read_checked_settings",
    "read_checked_summary",
    "read_stage_facts",
    "training_cost",
]
