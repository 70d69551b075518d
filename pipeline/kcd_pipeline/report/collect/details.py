"""The details of a run that only a page shows: they are read for the runs that the page shows, not for every run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.report.collect.runs import RunRecord
from kcd_pipeline.report.collect.samples import DatasetCache, ShownSamples, collect_samples
from kcd_pipeline.report.collect.stages import read_stage_facts
from kcd_pipeline.report.collect.values import StageValues, read_stage_values
from kcd_pipeline.runs import open_values


@dataclass(frozen=True, kw_only=True, eq=False)
class RunDetails:
    """Details of one finished run.

    Attributes
    ----------
    measure
        Name of the value function that measured V.
    values
        V after the last epoch, float64 `[N]`; NaN for samples that were never visited.
    stage_values
        The distribution of V after each stage, or after some of them if there are many.
    stage_facts
        The plan and the cost of each stage, as plain data.
    samples
        The most and the least valued samples.
    """

    measure: str
    values: NDArray[np.float64]
    stage_values: tuple[StageValues, ...]
    stage_facts: tuple[dict[str, Any], ...]
    samples: ShownSamples


def collect_details(runs: Sequence[RunRecord]) -> list[RunDetails]:
    """Read the details of each of `runs`.

    Raises
    ------
    StoreError
        If the values or plans of a run cannot be read.
    """
    datasets = DatasetCache()
    return [_read_details(run, datasets) for run in runs]


def _read_details(run: RunRecord, datasets: DatasetCache) -> RunDetails:
    stored = open_values(run.folder)
    values = stored.read(run.epochs - 1)[0]
    return RunDetails(
        measure=stored.measure,
        values=values,
        stage_values=tuple(read_stage_values(run.folder, run.epochs)),
        stage_facts=tuple(read_stage_facts(run.folder, run.metrics)),
        samples=collect_samples(run, values, datasets),
    )
