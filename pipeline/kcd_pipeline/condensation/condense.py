"""One condensation (E-step): from persisted values to the plan of the next stage."""

import dask.array as da
import numpy as np

from kcd_pipeline.condensation.budget import DEFAULT_MEMORY
from kcd_pipeline.condensation.ogve import scores as score_samples
from kcd_pipeline.condensation.schedule import kept_count, stage_count
from kcd_pipeline.condensation.vaks import assembled, partition
from kcd_pipeline.config import CondenseConfig
from kcd_stores import Plan, ValueStore


def condense(
    values: ValueStore,
    *,
    before: Plan,
    stage: int,
    epochs: int,
    config: CondenseConfig,
    memory: int = DEFAULT_MEMORY,
) -> Plan:
    """The plan of `stage`, from the values after the last epoch of the stage before.

    Pure in what is persisted: run again, it gives the same plan. Samples never visited rank last, and are counted.

    Parameters
    ----------
    memory
        Bytes that the ranking may take; plans, before and after, are beside it.

    Raises
    ------
    ValueError
        If a value is NaN on a sample that was visited.
    StoreUsageError
        If ranking takes more than `memory`.
    """
    opens = stage * config.interval
    value, frequency = (da.from_zarr(array)[opens - 1] for array in values.arrays())
    scores = score_samples(value, frequency, config.alpha)
    samples = values.samples
    kept_before = np.zeros(samples, dtype=bool)
    kept_before[before.kept] = True
    stages = stage_count(epochs, config.interval)
    parts = partition(
        scores,
        keep=kept_count(samples, stage, stages, config.keep_ratio, config.schedule),
        kept_before=kept_before,
        dropped=config.dropped,
        memory=memory,
    )
    kept, partner, epsilon = assembled(parts, samples, config.epsilon_max)
    stayed = int(kept_before[kept].sum())
    return Plan(
        stage=stage,
        epoch=opens,
        samples=samples,
        kept=kept,
        partner=partner,
        epsilon=epsilon,
        facts={
            "kept": len(kept),
            "taught_as_stored": len(parts.high),
            "perturbed": len(parts.low),
            "dropped": samples - len(kept),
            "newly_dropped": len(before.kept) - stayed,
            "came_back": len(kept) - stayed,
            "never_visited": parts.never_visited,
            "score_cut": parts.score_cut if np.isfinite(parts.score_cut) else None,
        },
    )
