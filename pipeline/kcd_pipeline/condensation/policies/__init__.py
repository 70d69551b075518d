"""Policies: how the samples of a stage are chosen, weighted and blended. See docs/concepts/policies.md."""

from kcd_pipeline.condensation.policies.kcd import kcd
from kcd_pipeline.condensation.policies.protocol import Choice, Policy, Situation

__all__ = ["Choice", "Policy", "Situation", "make_policy"]

POLICIES: dict[str, Policy] = {"kcd": kcd}


def make_policy(name: str) -> Policy:
    """Return the policy that `condense.policy` names."""
    return POLICIES[name]
