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
from kcd_stores.scratch import IN_MEMORY, Scratch, constant, different, pieces


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
    scratch: Scratch = IN_MEMORY,
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
    scratch
        Place of the plan, and of arrays of all samples.

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
        scratch=scratch,
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
        partner, epsilon = constant(len(kept), NO_PARTNER, np.int64), constant(len(kept), 0, np.float32)
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
    stayed, looked_at = 0, different(partner)
    for piece in pieces(before.samples):
        in_both = np.zeros(piece.stop - piece.start, dtype=bool)
        in_both[_between(before.kept, piece) - piece.start] = True
        stayed += int(np.count_nonzero(in_both[_between(kept, piece) - piece.start]))
    perturbed = sum(int(np.count_nonzero(looked_at[piece] != NO_PARTNER)) for piece in pieces(len(looked_at)))
    return {
        "kept": len(kept),
        "taught_as_stored": len(kept) - perturbed,
        "perturbed": perturbed,
        "dropped": before.samples - len(kept),
        "newly_dropped": len(before.kept) - stayed,
        "came_back": len(kept) - stayed,
        "overlap": stayed / len(kept),
    }


def _between(kept: NDArray[np.int64], samples: slice) -> NDArray[np.int64]:
    """Return those of `kept[K]` that are in a range of samples."""
    start, stop = np.searchsorted(kept, [samples.start, samples.stop])
    return kept[start:stop]
