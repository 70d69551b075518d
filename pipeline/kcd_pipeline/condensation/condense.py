"""One condensation (E-step): from the values on disk to the plan of the next stage."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.policies import Choice, Situation, make_policy, wrong_choice
from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY
from kcd_pipeline.condensation.schedule import kept_count, stage_openings
from kcd_pipeline.config import CondenseConfig
from kcd_pipeline.own_parts import is_own_part
from kcd_stores import NO_PARTNER, Plan, ValueStore


def condense(
    values: ValueStore,
    *,
    before: Plan,
    stage: int,
    epochs: int,
    config: CondenseConfig,
    seed: int = 0,
    labels: NDArray[np.int64] | None = None,
    memory: int = DEFAULT_MEMORY,
) -> Plan:
    """Return the plan of `stage` (0-based, not the first), from the values after the last epoch of the stage before.

    It is a pure function of its arguments and of what is on disk: called again, it returns the same plan. Dropped
    samples take part in it like all others.

    Parameters
    ----------
    before
        The plan of the stage before.
    epochs
        Number of epochs of the whole run.
    config
        `policy` says who chooses.
    seed
        Seed of all draws.
    labels
        `[N]` int64: the class of each sample, for `balance: class` and for policies that look at it.
    memory
        Bytes that the choice may take, besides the plans before and after.

    Raises
    ------
    ValueError
        If the value of a visited sample is NaN.
    StoreUsageError
        If it takes more than `memory`.
    """
    opens = stage_openings(epochs, config)[stage]
    situation = Situation(
        values=values,
        before=before,
        stage=stage,
        opens=opens,
        epochs=epochs,
        keep=kept_count(values.samples, opens, epochs, config),
        labels=labels,
        config=config,
        seed=seed,
        memory=memory,
    )
    choice = make_policy(config.policy, config.policy_arguments)(situation)
    try:
        return _plan(choice, situation)
    except ValueError as error:
        if not is_own_part(config.policy):
            raise
        raise wrong_choice(situation, str(error)) from error


def _plan(choice: Choice, situation: Situation) -> Plan:
    """Return the plan that a choice is in its situation."""
    kept, partner, epsilon = choice.kept, choice.partner, choice.epsilon
    if partner is None or epsilon is None or situation.config.perturb == "off":
        partner, epsilon = np.full(len(kept), NO_PARTNER, dtype=np.int64), np.zeros(len(kept), dtype=np.float32)
    return Plan(
        stage=situation.stage,
        epoch=situation.opens,
        samples=situation.samples,
        kept=kept,
        partner=partner,
        epsilon=epsilon,
        **({} if choice.weight is None else {"weight": choice.weight}),
        facts={**choice.facts, **_counts(kept, partner, situation.before)},
    )


def _counts(kept: NDArray[np.int64], partner: NDArray[np.int64], before: Plan) -> dict[str, Any]:
    """Return the counts that `inspect` and the report show of a plan with `kept[K]` and `partner[K]` of N samples."""
    kept_before = np.zeros(before.samples, dtype=bool)
    kept_before[before.kept] = True
    stayed = int(kept_before[kept].sum())
    return {
        "kept": len(kept),
        "taught_as_stored": int((partner == NO_PARTNER).sum()),
        "perturbed": int((partner != NO_PARTNER).sum()),
        "dropped": before.samples - len(kept),
        "newly_dropped": len(before.kept) - stayed,
        "came_back": len(kept) - stayed,
        "overlap": stayed / len(kept),
    }
