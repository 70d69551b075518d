"""One condensation (E-step): from persisted values to the plan of the next stage."""

import numpy as np

from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY
from kcd_pipeline.condensation.schedule import kept_count, stage_count
from kcd_pipeline.condensation.scoring import ranked_by, worth
from kcd_pipeline.condensation.vaks import assembled, partition
from kcd_pipeline.config import CondenseConfig
from kcd_stores import NO_PARTNER, Plan, ValueStore


def condense(
    values: ValueStore,
    *,
    before: Plan,
    stage: int,
    epochs: int,
    config: CondenseConfig,
    seed: int = 0,
    memory: int = DEFAULT_MEMORY,
) -> Plan:
    """The plan of `stage`, from the values after the last epoch of the stage before.

    Pure in what is persisted: run again, it gives the same plan. Samples never visited rank last, and are counted.

    Parameters
    ----------
    seed
        Of the draws of `keep: random`.
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
        memory=memory,
    )
    kept, partner, epsilon = assembled(parts, samples, None if config.perturb == "off" else config.epsilon_max)
    stayed = int(kept_before[kept].sum())
    cut = worth(parts.score_cut, config)
    return Plan(
        stage=stage,
        epoch=opens,
        samples=samples,
        kept=kept,
        partner=partner,
        epsilon=epsilon,
        facts={
            "kept": len(kept),
            "taught_as_stored": int((partner == NO_PARTNER).sum()),
            "perturbed": int((partner != NO_PARTNER).sum()),
            "dropped": samples - len(kept),
            "newly_dropped": len(before.kept) - stayed,
            "came_back": len(kept) - stayed,
            "overlap": stayed / len(kept),
            "never_visited": parts.never_visited,
            "score_cut": cut if np.isfinite(cut) else None,
        },
    )
