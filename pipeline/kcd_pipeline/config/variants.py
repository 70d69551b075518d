"""What sets a run apart from its plain method, in words: for the name of its folder and for its label in a report."""

from collections.abc import Mapping
from typing import Any

# key of `condense` -> {value: its words}; values that the plain method has are not here
CONDENSE_WORDS: dict[str, dict[Any, str]] = {
    "alpha": {0: "alpha 0"},
    "keep": {"least": "least valued", "random": "random"},
    "value": {"current": "current entropy"},
    "perturb": {"off": "drop only", "pair": "pairs"},
}


def variant_words(config: Mapping[str, Any]) -> list[str]:
    """Such as `["drop only"]`; nothing for the plain method.

    Parameters
    ----------
    config
        A config as plain data; one of an older version, which lacks keys, is that of a plain method.
    """
    distill = config.get("distill", {})
    if distill.get("method") not in ("kd", "kcd"):
        return []
    loss = distill.get("loss", {})
    found = [
        None if loss.get("name") == "kd" else loss.get("name"),
        "standardised" if loss.get("standardise") else None,
    ]
    if distill["method"] == "kcd":
        condense = config.get("condense", {})
        found += [words.get(condense.get(key)) for key, words in CONDENSE_WORDS.items()]
        found += ["given plans" if condense.get("plans_from") else None]
    return [word for word in found if word]
