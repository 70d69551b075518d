"""The arrays of a plan, where they may be larger than memory: sent to other ranks, and made for a stream."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.training.ranks import Ranks
from kcd_stores import NO_PARTNER, Plan
from kcd_stores.scratch import Scratch, constant, different, pieces

ARRAYS: dict[str, type[np.generic]] = {
    "kept": np.int64,
    "partner": np.int64,
    "epsilon": np.float32,
    "weight": np.float32,
}


def share_plan(ranks: Ranks, make: Callable[[], Plan], scratch: Scratch) -> Plan:
    """Make a plan on rank 0 and return it on every rank, in arrays of `scratch`. All ranks must call this.

    Raises
    ------
    EndedElsewhereError
        On the other ranks, if the plan could not be made.
    """
    made: list[Plan] = []

    def describe() -> tuple[dict[str, object], int, dict[str, float | None]]:
        plan = make()
        made.append(plan)
        own = {name: different(getattr(plan, name)) for name in ARRAYS}
        alike = {name: array[0].item() if len(array) < len(plan.kept) else None for name, array in own.items()}
        about = {"stage": plan.stage, "epoch": plan.epoch, "samples": plan.samples, "facts": dict(plan.facts)}
        return about, len(plan.kept), alike

    about, kept, alike = ranks.run_on_first(describe)
    if not ranks.several:
        return made[0]
    sent = [name for name, number in alike.items() if number is None]
    if ranks.is_first:
        ranks.copy_from_first(getattr(made[0], name) for name in sent)
        return made[0]
    arrays = {name: scratch.empty(kept, ARRAYS[name]) for name in sent}
    ranks.copy_from_first(arrays.values())
    arrays |= {name: constant(kept, number, ARRAYS[name]) for name, number in alike.items() if number is not None}
    return Plan(**about, **arrays)  # type: ignore[arg-type]  # as `describe` gave them


def partners_needed(plan: Plan, scratch: Scratch) -> NDArray[np.int64]:
    """Return the partner of each kept sample, `[K]` int64, and NO_PARTNER where the strength of the blend is 0."""
    partner: NDArray[np.int64] = scratch.empty(len(plan.kept), np.int64)
    for piece in pieces(len(partner)):
        partner[piece] = np.where(plan.epsilon[piece] > 0, plan.partner[piece], NO_PARTNER)
    return partner
