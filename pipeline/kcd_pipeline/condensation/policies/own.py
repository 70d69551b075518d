"""A policy of the user's own, `package.module:callable`: called with the situation, it returns a choice."""

from collections.abc import Callable
from typing import Any

from kcd_pipeline.condensation.policies.protocol import Choice, Policy, Situation
from kcd_pipeline.errors import FailedError, UserError


def own_policy(name: str, part: Callable[..., Any]) -> Policy:
    """Return the user's `part` called `name`, such that whatever goes wrong in it names condense.policy."""

    def choose(situation: Situation) -> Choice:
        try:
            choice = part(situation)
        except (UserError, FailedError):
            raise
        except Exception as error:  # code of others, which may raise anything
            raise FailedError(
                f"condense.policy: {name} raised {type(error).__name__} in stage {situation.stage}: {error}. See "
                f"docs/concepts/policies.md for what it is given and what it returns."
            ) from error
        if not isinstance(choice, Choice):
            raise FailedError(
                f"condense.policy: {name} returned a {type(choice).__name__} in stage {situation.stage}, expected a "
                f"kcd_pipeline.condensation.Choice. See docs/concepts/policies.md."
            )
        return choice

    return choose
