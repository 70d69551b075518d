"""A policy of the user's own, `package.module:callable`: called with the situation, it returns a choice."""

from kcd_pipeline.condensation.policies.protocol import Choice, Policy, Situation
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.own_parts import OwnPart
from kcd_stores import StoreError


def own_policy(part: OwnPart) -> Policy:
    """Return the policy that calls `part`, such that whatever goes wrong in it names condense.policy."""

    def choose(situation: Situation) -> Choice:
        try:
            choice = part(situation)
        except (UserError, FailedError, StoreError):
            raise
        except Exception as error:  # code of others, which may raise anything
            raise wrong_choice(situation, f"it raised {type(error).__name__}: {error}") from error
        if not isinstance(choice, Choice):
            raise wrong_choice(situation, f"it returned a {type(choice).__name__}")
        if choice.kept[-1] >= situation.samples:
            raise wrong_choice(
                situation, f"it keeps sample {choice.kept[-1]}, and the data set has {situation.samples:,} samples"
            )
        perturb = situation.config.perturb
        if perturb in ("pair", "teacher") and choice.epsilon is not None and choice.epsilon.max() > 1:
            raise wrong_choice(
                situation,
                f"it blends with a strength of {choice.epsilon.max():g}; perturb: {perturb} takes at most 1",
            )
        return choice

    return choose


def wrong_choice(situation: Situation, problem: str) -> FailedError:
    """Return the error of a policy of the user's own that did what it must not."""
    return FailedError(
        f"condense.policy: {situation.config.policy} in stage {situation.stage}: {problem}. Expected a "
        f"kcd_pipeline.condensation.Choice: see docs/concepts/policies.md."
    )
