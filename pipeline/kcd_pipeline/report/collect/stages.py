"""What samples were worth to a student, stage by stage: distributions and the ends of the ranking."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.runs import RunFolder
from kcd_stores import Plan, PlanStore, ValueStore

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class StageValues:
    """V(i) in nats over the samples visited so far, as it stood after the last epoch of a stage.

    `epochs` are the stage's, counted from 1, both ends included; `quantiles` belong to `QUANTILES` and are, as
    `mean` is, None where nothing was visited.
    """

    stage: int
    epochs: tuple[int, int]
    visited: int
    never_visited: int
    mean: float | None
    quantiles: tuple[float, ...] | None


def summarise(value: NDArray[np.float64], *, stage: int, epochs: tuple[int, int]) -> StageValues:
    """Of `value[N]` in nats, NaN where a sample was never visited."""
    visited = value[~np.isnan(value)]
    some = len(visited) > 0
    return StageValues(
        stage=stage,
        epochs=epochs,
        visited=len(visited),
        never_visited=len(value) - len(visited),
        mean=float(visited.mean()) if some else None,
        quantiles=tuple(float(quantile) for quantile in np.quantile(visited, QUANTILES)) if some else None,
    )


def stage_epochs(plans: list[Plan], epochs: int) -> list[tuple[int, int]]:
    """First and last epoch of each stage, counted from 0, of a run that has come to `epochs` epochs."""
    opens = [plan.epoch for plan in plans]
    return [(first, after - 1) for first, after in zip(opens, [*opens[1:], epochs], strict=True)]


def read_stages(folder: RunFolder, epochs: int) -> list[StageValues]:
    """Of a run that has come to `epochs` epochs, one a stage; the last stage as far as it has come."""
    plans = [plan for plan in PlanStore(folder.plans).read_all() if plan.epoch < epochs]
    values = ValueStore.open(folder.values)
    return [
        summarise(values.read(last)[0], stage=plan.stage, epochs=(first + 1, last + 1))
        for plan, (first, last) in zip(plans, stage_epochs(plans, epochs), strict=True)
    ]


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Counts of one stage; None where the first stage, which nothing preceded, has none."""
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
    }


def ends(value: NDArray[np.float64], number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the `number` most and of the `number` least valued samples of `value[N]`.

    The most valued in descending, the least valued in ascending order, ties by index; NaN is never among them. Of
    fewer than twice `number` samples, none is both.
    """
    visited = np.flatnonzero(~np.isnan(value))
    number = min(number, len(visited) // 2)
    ascending = visited[np.argsort(value[visited], kind="stable")]
    descending = visited[np.argsort(-value[visited], kind="stable")]
    return descending[:number], ascending[:number]
