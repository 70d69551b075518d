"""The comparison as plain data, for JSON: accuracies and fractions 0..1, times in seconds, sizes in bytes."""

from collections.abc import Sequence
from typing import Any

from kcd_pipeline.report.collect import RunRecord, UnfinishedRun
from kcd_pipeline.report.compute import Comparison
from kcd_pipeline.report.compute.groups import Group
from kcd_pipeline.report.compute.stores import StoreUse


def plain_data(comparison: Comparison, stage_facts: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Return the comparison as nested mappings and lists; `stage_facts` has the stages of each run, in order."""
    group_of = {run.label: group.label for group in comparison.groups for run in group.runs}
    return {
        "runs": [
            _run_data(run, stages) | {"group": group_of.get(run.label)}
            for run, stages in zip(comparison.runs, stage_facts, strict=True)
        ],
        "unfinished": [_unfinished_data(run) for run in comparison.unfinished],
        "groups": [_group_data(group) | {"best": group in comparison.best} for group in comparison.groups],
        "stores": [_store_data(store) for store in comparison.stores],
        "settings": {
            setting.key: [{"value": value, "runs": list(labels)} for value, labels in setting.values]
            for setting in comparison.settings
        },
        "warnings": list(comparison.warnings),
    }


def _run_data(run: RunRecord, stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    store = run.store or {}
    return {
        "name": run.name,
        "label": run.label,
        "path": str(run.path),
        "method": run.method,
        "variant": list(run.variant),
        "student": run.student,
        "parameters": run.summary.get("parameters"),
        "seed": run.seed,
        "epochs": run.epochs,
        "test_accuracy": run.test_accuracy,
        "best_test_accuracy": run.best_test_accuracy,
        "rows_trained": run.rows_trained,
        "samples_trained": run.samples_trained,
        "kept_fraction": run.kept_fraction,
        "seconds": run.seconds,
        "steps": run.cost.steps,
        "bytes_read": run.cost.bytes_read,
        "teacher_rows": run.teacher_rows,
        "teacher_seconds": run.teacher_seconds,
        "stages": list(stages),
        "dataset": run.summary["dataset"]["name"],
        "test_fingerprint": run.test_set,
        "store": store.get("path"),
        "store_identity": store.get("identity"),
        "store_views": store.get("views"),
    }


def _unfinished_data(run: UnfinishedRun) -> dict[str, Any]:
    return {
        "label": run.label,
        "path": str(run.path),
        "method": run.method_in_words,
        "student": run.student,
        "seed": run.seed,
        "epochs_done": run.epochs_done,
        "epochs": run.epochs,
        "test_accuracy": run.test_accuracy,
    }


def _group_data(group: Group) -> dict[str, Any]:
    return {
        "label": group.label,
        "method": group.first.method,
        "variant": list(group.first.variant),
        "student": group.first.student,
        "runs": [run.label for run in group.runs],
        "seeds": [run.seed for run in group.runs],
        "n": len(group.runs),
        "mean_test_accuracy": group.mean_accuracy,
        "standard_deviation": group.deviation,
        "mean_best_test_accuracy": group.mean_best_accuracy,
        "mean_samples_trained": group.mean_samples,
        "mean_steps": group.mean_steps,
        "mean_bytes_read": group.mean_bytes_read,
        "mean_teacher_rows": group.mean_teacher_rows,
        "mean_seconds": group.mean_seconds,
    }


def _store_data(store: StoreUse) -> dict[str, Any]:
    cost = store.economics
    return {
        "label": store.letter,
        "path": store.facts["path"],
        "identity": store.facts["identity"],
        "encoding": store.facts["encoding"],
        "views": store.facts["views"],
        "rows": store.facts["rows"],
        "bytes": store.facts["bytes"],
        "seconds": cost.seconds,
        "seconds_per_row": cost.seconds_per_row,
        "runs": [run.label for run in store.runs],
        "students": cost.student_count,
        "seconds_per_student": cost.seconds_per_student,
        "live_seconds_per_student": cost.mean_live_seconds,
        "pays_off_at": cost.pays_off_at,
        "paid_off": cost.paid_off,
        "saved_seconds": cost.saved_seconds if cost.student_count else None,
    }
