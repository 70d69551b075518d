"""Suggestions for words that were mistyped."""

import difflib
from collections.abc import Iterable

LONGEST_WORD = 100  # characters; longer ones take seconds to compare


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest of `known`, or an empty text if none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5) if len(word) <= LONGEST_WORD else []
    return f"; did you mean '{close[0]}'?" if close else ""
