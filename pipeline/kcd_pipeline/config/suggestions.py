"""Suggestions for words that were mistyped."""

import difflib
from collections.abc import Iterable

LONGEST_WORD = 100  # characters; longer ones take seconds to compare


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest of `known` apart from case, or an empty text if none is close."""
    if len(word) > LONGEST_WORD:
        return ""
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.5)
    return f"; did you mean '{lowered[close[0]]}'?" if close else ""
