"""Read runs from their folders into plain records. Everything that a report reads from disk is read here.

`details` is imported by its own name: it loads data sets and torch, which only a page needs.
"""

from kcd_pipeline.report.collect.costs import TrainingCost, training_cost
from kcd_pipeline.report.collect.runs import RunRecord, collect_runs
from kcd_pipeline.report.collect.stages import read_stage_facts

__all__ = ["RunRecord", "TrainingCost", "collect_runs", "read_stage_facts", "training_cost"]
