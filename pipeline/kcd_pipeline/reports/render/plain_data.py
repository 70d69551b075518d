"""The comparison as plain data, for JSON.

Accuracies and fractions are 0..1, differences of pairs are in points of accuracy, times in seconds, sizes in bytes.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcd_pipeline.reports.collect import RunRecord, UnfinishedRun
from kcd_pipeline.reports.collect.outcomes import Outcome
from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.compute.pairs import PairResult
from kcd_pipeline.reports.compute.stores import StoreUse
from kcd_pipeline.statistics import Interval


def plain_data(
    comparison: Comparison,
    stage_facts: Sequence[Sequence[dict[str, Any]]] | None = None,
    outcomes: Sequence[Outcome | None] | None = None,
) -> dict[str, Any]:
    """Return the comparison as nested mappings and lists.

    Parameters
    ----------
    stage_facts
        The stages of each run, in order. Without them, runs have no key `stages`.
    outcomes
        The outcome of each run, None for a run without predictions. Without them, runs have no key `outcome`.
    """
    arm_of = {run.label: arm.name for arm in comparison.arms for run in arm.runs}
    runs = [_run_data(run) | {"arm": arm_of.get(run.label)} for run in comparison.runs]
    if stage_facts is not None:
        runs = [run | {"stages": list(stages)} for run, stages in zip(runs, stage_facts, strict=True)]
    if outcomes is not None:
        runs = [run | {"outcome": _outcome_data(outcome)} for run, outcome in zip(runs, outcomes, strict=True)]
    return {
        "title": comparison.title,
        "teacher_test_accuracy": comparison.teacher_accuracy,
        "finding": list(comparison.finding),
        "arms": [_arm_data(arm) | {"best": arm is comparison.best} for arm in comparison.arms],
        "pairs": [_pair_data(pair) for pair in comparison.pairs],
        "runs": runs,
        "unfinished": [_unfinished_data(run) for run in comparison.unfinished],
        "stores": [_store_data(store) for store in comparison.stores],
        "settings": {
            setting.key: [{"value": value, "runs": list(labels)} for value, labels in setting.values]
            for setting in comparison.settings
        },
        "warnings": list(comparison.warnings),
    }


def _run_data(run: RunRecord) -> dict[str, Any]:
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
        "ema_test_accuracy": run.averaged_test_accuracy,
        "metrics": dict(run.own_metrics),
        "chosen_by": run.chosen_by,
        "best_validation_accuracy": run.best_validation_accuracy,
        "stopped_early": run.stopped_early,
        "rows_trained": run.rows_trained,
        "samples_trained": run.samples_trained,
        "kept_fraction": run.kept_fraction,
        "seconds": run.seconds,
        "steps": run.cost.steps,
        "bytes_read": run.cost.bytes_read,
        "teacher_rows": run.teacher_rows,
        "teacher_seconds": run.teacher_seconds,
        "dataset": run.summary["dataset"]["name"],
        "test_fingerprint": run.test_set,
        "store": store.get("path"),
        "store_identity": store.get("identity"),
        "store_views": store.get("views"),
        "other_stores": [{key: other[key] for key in ("path", "identity", "views")} for other in run.stores[1:]],
    }


def _outcome_data(outcome: Outcome | None) -> dict[str, Any] | None:
    """Return results class by class; of the confusion, the cells that are not 0, for it may have a thousand classes."""
    if outcome is None:
        return None
    cells = np.argwhere(outcome.confusion)
    return {
        "top5_accuracy": outcome.top5,
        "classes": list(outcome.classes),
        "accuracy_by_class": [None if math.isnan(share) else share for share in outcome.per_class.tolist()],
        "confusion": [[true, found, int(outcome.confusion[true, found])] for true, found in cells.tolist()],
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
        "chosen_by": run.chosen_by,
        f"{run.chosen_by}_accuracy": run.accuracy,
    }


def _arm_data(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "method": arm.first.method,
        "variant": list(arm.first.variant),
        "student": arm.first.student,
        "runs": [run.label for run in arm.runs],
        "seeds": list(arm.seeds),
        "mean_test_accuracy": arm.mean_accuracy,
        "standard_deviation": arm.deviation,
        "interval": _interval_data(arm.interval),
        "mean_best_test_accuracy": arm.mean_best_accuracy,
        "mean_metrics": {name: arm.mean_of_metric(name) for name in arm.first.own_metrics},
        "mean_rows_trained": arm.mean_rows,
        "mean_samples_trained": arm.mean_samples,
        "mean_steps": arm.mean_steps,
        "mean_bytes_read": arm.mean_bytes_read,
        "mean_teacher_rows": arm.mean_teacher_rows,
        "mean_seconds": arm.mean_seconds,
        "parameters": arm.first.summary.get("parameters"),
        "multiply_adds": arm.first.summary.get("multiply_adds"),
    }


def _pair_data(pair: PairResult) -> dict[str, Any]:
    paired = pair.paired
    return {
        "first": pair.first.name,
        "second": pair.second.name,
        "budget": pair.budget,
        "seeds": list(pair.seeds),
        "differences": list(paired.differences) if paired else [],
        "mean_difference": paired.interval.mean if paired else None,
        "standard_deviation": paired.deviation if paired else None,
        "interval": _interval_data(paired.interval) if paired else None,
        "bootstrap_interval": _interval_data(paired.bootstrap) if paired else None,
        "p": pair.p,
        "p_holm": pair.p_holm,
        "seeds_needed": pair.seeds_needed,
        "samples_ratio": pair.rows_ratio,
        "ahead": pair.ahead,
        "behind": pair.behind,
    }


def _interval_data(interval: Interval) -> list[float] | None:
    """Return the ends of an interval; None if it has none."""
    return None if interval.low is None or interval.high is None else [interval.low, interval.high]


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
