"""The values V(i) of a run's samples: their distribution after each stage, and the samples at both ends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.reports.collect.stages import stage_epochs
from kcd_pipeline.runs import RunFolder, open_plans, open_values

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_STAGES = 12  # boxes that are readable side by side


@dataclass(frozen=True, kw_only=True)
class StageValues:
    """The distribution of V(i) after the last epoch of a stage, over the samples visited so far.

    Attributes
    ----------
    stage
        The stage, counted from 0.
    epochs
        First and last epoch of the stage, counted from 1.
    visited, never_visited
        Numbers of samples.
    mean
        Mean value; None if no sample was visited.
    quantiles
        The values at `QUANTILES`; None if no sample was visited.
    """

    stage: int
    epochs: tuple[int, int]
    visited: int
    never_visited: int
    mean: float | None
    quantiles: tuple[float, ...] | None


def summarise_values(value: NDArray[np.float64], *, stage: int, epochs: tuple[int, int]) -> StageValues:
    """Return the distribution of `value[N]`, which is NaN for samples that were never visited."""
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


def read_stage_values(folder: RunFolder, epochs: int) -> list[StageValues]:
    """Return the distribution after each stage of a run that has reached `epochs` epochs.

    Of more than `MOST_STAGES` stages, so many are taken at even distances, the first and the last among them.

    Raises
    ------
    StoreError
        If the values or plans cannot be read.
    """
    plans = open_plans(folder)
    opens = {stage: epoch for stage, epoch in zip(plans.stages(), plans.openings(), strict=True) if epoch < epochs}
    stages = list(zip(opens, stage_epochs(list(opens.values()), epochs), strict=True))
    taken = np.linspace(0, len(stages) - 1, min(len(stages), MOST_STAGES)).round().astype(int).tolist()
    values = open_values(folder)
    return [
        summarise_values(values.read(last)[0], stage=stage, epochs=(first + 1, last + 1))
        for stage, (first, last) in (stages[place] for place in taken)
    ]


def most_and_least_valued(value: NDArray[np.float64], number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the `number` most valued samples, and of the `number` least valued ones, of `value[N]`.

    The first are in descending order of value, the second in ascending order; ties are in order of index. Samples that
    were never visited (NaN) are left out. No sample is in both: where fewer than twice `number` were visited, each part
    gets half of them.
    """
    visited = np.flatnonzero(~np.isnan(value))
    number = min(number, len(visited) // 2)
    ascending = visited[np.argsort(value[visited], kind="stable")]
    descending = visited[np.argsort(-value[visited], kind="stable")]
    return descending[:number], ascending[:number]
