"""The stages of a run: what each plan decided, and what its epochs cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.reports.collect.costs import training_cost
from kcd_pipeline.runs import RunFolder, open_plans
from kcd_stores import Plan


def read_stage_facts(folder: RunFolder, metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each stage that a run has begun, the facts of its plan and its cost so far, as plain data.

    Parameters
    ----------
    folder
        The run's folder, finished or not.
    metrics
        One mapping for each epoch done, as in metrics.jsonl.

    Raises
    ------
    StoreError
        If the plans cannot be read.
    """
    facts = [plan_facts(plan) for plan in open_plans(folder).read_all()]
    opens = [stage["first_epoch"] - 1 for stage in facts]
    epochs = max(len(metrics), opens[-1] + 1) if opens else 0
    return [
        stage | asdict(training_cost(metrics[first : last + 1]))
        for stage, (first, last) in zip(facts, stage_epochs(opens, epochs), strict=True)
    ]


def read_kept_by_class(folder: RunFolder, labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return the share of the samples of each class that each stage of a run kept.

    Parameters
    ----------
    folder
        The run's folder.
    labels
        The class of each training sample, int64 `[N]`.
    classes
        C, the number of classes.

    Returns
    -------
    NDArray
        float64 `[S, C]`, 0..1, for S stages; NaN for a class without samples.

    Raises
    ------
    StoreError
        If the plans cannot be read.
    """
    samples = np.bincount(labels, minlength=classes)
    kept = [np.bincount(labels[plan.kept], minlength=classes) for plan in open_plans(folder).read_all()]
    return np.where(samples > 0, np.array(kept) / np.maximum(samples, 1), np.nan)


def stage_epochs(opens: Sequence[int], epochs: int) -> list[tuple[int, int]]:
    """Return the first and the last epoch of each stage, counted from 0, of a run that has reached `epochs` epochs.

    Parameters
    ----------
    opens
        The first epoch of each stage.
    """
    return [(first, after - 1) for first, after in zip(opens, [*opens[1:], epochs], strict=True)]


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Return the counts of one stage, as plain data.

    Those that compare it with the stage before are None for the first stage; weights are None if all of them are 1.
    """
    return {
        "stage": plan.stage + 1,
        "first_epoch": plan.epoch + 1,
        "kept": len(plan.kept),
        "kept_fraction": plan.kept_fraction,
        "taught_as_stored": int((~plan.low).sum()),
        "perturbed": int(plan.low.sum()),
        "newly_dropped": plan.facts.get("newly_dropped"),
        "came_back": plan.facts.get("came_back"),
        "overlap": plan.facts.get("overlap"),
        "score_cut": plan.facts.get("score_cut"),
        "epsilon_max": float(plan.epsilon.max()),
        "smallest_weight": float(plan.weight.min()) if plan.weighted else None,
        "largest_weight": float(plan.weight.max()) if plan.weighted else None,
    }
