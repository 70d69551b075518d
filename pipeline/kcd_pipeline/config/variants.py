"""Words that set a run apart from others of its method, for the name of its folder and its label in a report."""

from collections.abc import Mapping
from typing import Any

# key of `condense` -> {value: words}; the values of the plain method have none
CONDENSE_WORDS: dict[str, dict[Any, str]] = {
    "alpha": {0: "alpha 0"},
    "keep": {"least": "least valued", "random": "random"},
    "value": {"current": "current entropy"},
    "perturb": {"off": "drop only", "pair": "pairs"},
}


def variant_words(config: Mapping[str, Any]) -> list[str]:
    """Return the words of a run, such as `["drop only"]`; an empty list for the plain method.

    Parameters
    ----------
    config
        A config as plain data. Keys that it lacks, because an older version wrote it, count as those of the plain
        method.
    """
    distill = config.get("distill", {})
    if distill.get("method") not in ("kd", "kcd"):
        return []
    loss = distill.get("loss", {})
    words = [
        None if loss.get("name") == "kd" else loss.get("name"),
        "standardised" if loss.get("standardise") else None,
    ]
    if distill["method"] == "kcd":
        condense = config.get("condense", {})
        words += [of_value.get(condense.get(key)) for key, of_value in CONDENSE_WORDS.items()]
        words += ["given plans" if condense.get("plans_from") else None]
    return [word for word in words if word]
