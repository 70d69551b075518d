"""Policies: how the samples of a stage are chosen, weighted and blended. See docs/concepts/policies.md."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kcd_pipeline.condensation.policies.infobatch import leave_out_at_random
from kcd_pipeline.condensation.policies.kcd import keep_by_rank, keep_by_rank_then_all
from kcd_pipeline.condensation.policies.own import own_policy, wrong_choice
from kcd_pipeline.condensation.policies.protocol import Choice, Policy, Situation
from kcd_pipeline.condensation.policies.rs2 import keep_at_random
from kcd_pipeline.condensation.policies.weighted import draw_by_value
from kcd_pipeline.own_parts import OwnPart, is_own_part

__all__ = ["WITH_WEIGHTS", "Choice", "Policy", "Situation", "make_policy", "wrong_choice"]

POLICIES: dict[str, Policy] = {
    "kcd": keep_by_rank,
    "annealed": keep_by_rank_then_all,
    "infobatch": leave_out_at_random,
    "rs2": keep_at_random,
    "weighted": draw_by_value,
}
NO_ARGUMENTS: Mapping[str, Any] = MappingProxyType({})
WITH_WEIGHTS = ("infobatch", "weighted")  # policies that weigh the losses of samples


def make_policy(name: str, arguments: Mapping[str, Any] = NO_ARGUMENTS) -> Policy:
    """Return the policy that `condense.policy` names, with its `condense.policy_arguments`.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded.
    """
    return own_policy(OwnPart(name, "condense.policy", arguments)) if is_own_part(name) else POLICIES[name]
