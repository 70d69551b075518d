"""One condensation (E-step): from persisted values to the plan of the next stage."""

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.schedule import kept_count, stage_count
from kcd_pipeline.condensation.scoring import ranked_by, worth
from kcd_pipeline.condensation.vaks import Partition, partition, strengths
from kcd_pipeline.config import CondenseConfig
from kcd_stores import NO_PARTNER, Plan, ValueStore


def condense(
    values: ValueStore, *, before: Plan, stage: int, epochs: int, config: CondenseConfig, seed: int = 0
) -> Plan:
    """The plan of `stage`, from the values after the last epoch of the stage before.

    Pure in what is persisted: run again, it gives the same plan. `seed` is of the draws of `keep: random`.

    Raises
    ------
    ValueError
        If a value is NaN on a sample that was visited.
    """
    opens = stage * config.interval
    scores = ranked_by(values, epoch=opens - 1, stage=stage, config=config, seed=seed)
    samples = values.samples
    kept_before = np.zeros(samples, dtype=bool)
    kept_before[before.kept] = True
    stages = stage_count(epochs, config.interval)
    parts = partition(
        scores,
        keep=kept_count(samples, stage, stages, config.keep_ratio, config.schedule),
        kept_before=kept_before,
        dropped=config.dropped,
    )
    kept = np.concatenate([parts.high, parts.low])
    partner, epsilon = _perturbed(parts, config)
    order = np.argsort(kept)
    stayed = int(kept_before[kept].sum())
    cut = worth(parts.score_cut, config)
    return Plan(
        stage=stage,
        epoch=opens,
        samples=samples,
        kept=kept[order],
        partner=partner[order],
        epsilon=epsilon[order],
        facts={
            "kept": len(kept),
            "taught_as_stored": int((partner == NO_PARTNER).sum()),
            "perturbed": int((partner != NO_PARTNER).sum()),
            "dropped": samples - len(kept),
            "newly_dropped": len(before.kept) - stayed,
            "came_back": len(kept) - stayed,
            "overlap": stayed / len(kept),
            "never_visited": int((da.from_zarr(values.arrays()[1])[opens - 1] == 0).sum().compute()),
            "score_cut": cut if np.isfinite(cut) else None,
        },
    )


def _perturbed(parts: Partition, config: CondenseConfig) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Partners and strengths of K1H and K1L together, `[K]` each: no partner and 0 where nothing is blended."""
    count = len(parts.high) + len(parts.low)
    partner, epsilon = np.full(count, NO_PARTNER), np.zeros(count, np.float32)
    if config.perturb != "off":
        partner[len(parts.high) :] = parts.partners
        epsilon[len(parts.high) :] = strengths(len(parts.low), config.epsilon_max)
    return partner, epsilon
