"""The details of a run that only a page shows: they are read for the runs that the page shows, not for every run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.errors import UserError
from kcd_pipeline.reports.collect.outcomes import Outcome, names_by_test_set, read_outcome
from kcd_pipeline.reports.collect.runs import RunRecord
from kcd_pipeline.reports.collect.samples import DatasetCache, ShownSamples, collect_samples
from kcd_pipeline.reports.collect.stages import read_kept_by_class, read_stage_facts
from kcd_pipeline.reports.collect.values import StageValues, read_stage_values
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
    losses
        Mean training loss of each epoch; empty if the run did not write them.
    outcome
        Results on the test set, class by class; None if the run kept no predictions.
    kept_by_class
        Share of the training samples of each class that each stage kept, float64 `[S, C]`; NaN for a class without
        samples. None if the data set of the run is not there.
    classes
        Names of the C classes; empty if `kept_by_class` is None.
    """

    measure: str
    values: NDArray[np.float64]
    stage_values: tuple[StageValues, ...]
    stage_facts: tuple[dict[str, Any], ...]
    samples: ShownSamples
    losses: tuple[float, ...] = ()
    outcome: Outcome | None = None
    kept_by_class: NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ()


def collect_details(runs: Sequence[RunRecord], among: Sequence[RunRecord] = ()) -> list[RunDetails]:
    """Read the details of each of `runs`; `among` are all runs of the report, some of which may know class names.

    Raises
    ------
    StoreError
        If the values or plans of a run cannot be read.
    DamagedError
        If the predictions of a run are not what it wrote.
    """
    datasets, names = DatasetCache(), names_by_test_set([*runs, *among])
    return [_read_details(run, datasets, names) for run in runs]


def _read_details(run: RunRecord, datasets: DatasetCache, names: Mapping[str, tuple[str, ...]]) -> RunDetails:
    stored = open_values(run.folder)
    values = stored.read(run.epochs - 1)[0]
    details = RunDetails(
        measure=stored.measure,
        values=values,
        stage_values=tuple(read_stage_values(run.folder, run.epochs)),
        stage_facts=tuple(read_stage_facts(run.folder, run.metrics)),
        samples=ShownSamples(),
        losses=tuple(line["loss"] for line in run.metrics) if all("loss" in line for line in run.metrics) else (),
        outcome=read_outcome(run, names),
    )
    try:
        dataset = datasets.dataset_of(run, len(values))
    except UserError as error:
        return replace(details, samples=ShownSamples(problem=str(error)))
    classes = tuple(dataset.label_names or dataset.classes)
    return replace(
        details,
        samples=collect_samples(run, values, dataset),
        kept_by_class=read_kept_by_class(run.folder, dataset.train.labels.numpy(), len(classes)),
        classes=classes,
    )
