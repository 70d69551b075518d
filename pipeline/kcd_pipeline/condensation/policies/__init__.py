"""Policies: how the samples of a stage are chosen, weighted and blended. See docs/concepts/policies.md."""

from kcd_pipeline.condensation.policies.infobatch import infobatch
from kcd_pipeline.condensation.policies.kcd import annealed, kcd
from kcd_pipeline.condensation.policies.own import own_policy, wrong_choice
from kcd_pipeline.condensation.policies.protocol import Choice, Policy, Situation
from kcd_pipeline.condensation.policies.rs2 import rs2
from kcd_pipeline.condensation.policies.weighted import weighted
from kcd_pipeline.own_parts import is_own_part, load_part

__all__ = ["WITH_WEIGHTS", "Choice", "Policy", "Situation", "make_policy", "wrong_choice"]

POLICIES: dict[str, Policy] = {
    "kcd": kcd,
    "annealed": annealed,
    "infobatch": infobatch,
    "rs2": rs2,
    "weighted": weighted,
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
