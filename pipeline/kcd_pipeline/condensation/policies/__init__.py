"""Policies: how the samples of a stage are chosen, weighted and blended. See docs/concepts/policies.md."""

from kcd_pipeline.condensation.policies.infobatch import leave_out_at_random
from kcd_pipeline.condensation.policies.kcd import keep_by_rank, keep_by_rank_then_all
from kcd_pipeline.condensation.policies.own import own_policy, wrong_choice
from kcd_pipeline.condensation.policies.protocol import Choice, Policy, Situation
from kcd_pipeline.condensation.policies.rs2 import keep_at_random
from kcd_pipeline.condensation.policies.weighted import draw_by_value
from kcd_pipeline.own_parts import is_own_part, load_part

__all__ = ["WITH_WEIGHTS", "Choice", "Policy", "Situation", "make_policy", "wrong_choice"]

POLICIES: dict[str, Policy] = {
    "kcd": keep_by_rank,
    "annealed": keep_by_rank_then_all,
    "infobatch": leave_out_at_random,
    "rs2": keep_at_random,
    "weighted": draw_by_value,
}
WITH_WEIGHTS = ("infobatch", "weighted")  # policies that weigh the losses of samples


def make_policy(name: str) -> Policy:
    """Return the policy that `condense.policy` names.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded.
    """
    return own_policy(name, load_part(name, "condense.policy")) if is_own_part(name) else POLICIES[name]
