"""One condensation (E-step): from the values on disk to the plan of the next stage."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY
from kcd_pipeline.condensation.ranking.select import Partition
from kcd_pipeline.condensation.schedule import kept_count, stage_openings
from kcd_pipeline.condensation.scoring import original_score, ranking_scores
from kcd_pipeline.condensation.vaks import partition, plan_arrays
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
    """Return the plan of `stage` (0-based, not the first), from the values after the last epoch of the stage before.

    It is a pure function of what is on disk: called again, it returns the same plan. All samples are ranked, kept or
    not; those that were never visited rank last.

    Parameters
    ----------
    before
        The plan of the stage before.
    epochs
        Number of epochs of the whole run.
    seed
        Seed of the draws of `keep: random`.
    memory
        Bytes that the ranking may take, besides the plans before and after.

    Raises
    ------
    ValueError
        If the value of a visited sample is NaN.
    StoreUsageError
        If ranking takes more than `memory`.
    """
    opens, samples = stage_openings(epochs, config)[stage], values.samples
    kept_before = np.zeros(samples, dtype=bool)
    kept_before[before.kept] = True
    parts = partition(
        ranking_scores(values, epoch=opens - 1, stage=stage, config=config, seed=seed),
        keep=kept_count(samples, opens, epochs, config),
        kept_before=kept_before,
        dropped=config.dropped,
        memory=memory,
    )
    epsilon_max = None if config.perturb == "off" else config.epsilon_max
    kept, partner, epsilon = plan_arrays(parts, samples, epsilon_max, config.ramp)
    return Plan(
        stage=stage,
        epoch=opens,
        samples=samples,
        kept=kept,
        partner=partner,
        epsilon=epsilon,
        facts=_facts(parts, kept, partner, kept_before, config),
    )


def _facts(
    parts: Partition,
    kept: NDArray[np.int64],
    partner: NDArray[np.int64],
    kept_before: NDArray[np.bool_],
    config: CondenseConfig,
) -> dict[str, Any]:
    """Return the counts that `inspect` and the report show of a plan with `kept[K]` and `partner[K]` of N samples."""
    samples, was_kept, stayed = len(kept_before), int(kept_before.sum()), int(kept_before[kept].sum())
    cut = original_score(parts.score_cut, config)
    return {
        "kept": len(kept),
        "taught_as_stored": int((partner == NO_PARTNER).sum()),
        "perturbed": int((partner != NO_PARTNER).sum()),
        "dropped": samples - len(kept),
        "newly_dropped": was_kept - stayed,
        "came_back": len(kept) - stayed,
        "overlap": stayed / len(kept),
        "never_visited": parts.never_visited,
        "score_cut": cut if np.isfinite(cut) else None,
    }
