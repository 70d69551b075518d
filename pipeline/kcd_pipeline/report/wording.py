"""How numbers and facts are written for people: one place, so that terminal and page agree."""

from collections.abc import Iterable
from typing import Any

from kcd_pipeline.progress import human_seconds

NOTHING = "–"
LONGEST = 48  # characters of a value; hashes and lists of classes are cut


def percent(fraction: float) -> str:
    """Such as `98.89%`, of an accuracy or a share 0..1."""
    return f"{100 * fraction:.2f}%"


def mean_and_spread(mean: float, deviation: float | None) -> str:
    """Such as `98.89 ± 0.12%`; without the spread where one run cannot show any."""
    return percent(mean) if deviation is None else f"{100 * mean:.2f} ± {100 * deviation:.2f}%"


def kept(fractions: list[float]) -> str:
    """Such as `100 → 70%`, first and last stage; `100%` where nothing was dropped."""
    first, last = f"{100 * fractions[0]:.0f}", f"{100 * fractions[-1]:.0f}"
    return f"{first}%" if len(fractions) == 1 else f"{first} → {last}%"


def duration(seconds: float) -> str:
    """Such as `0.31 s`, `4.8 s`, `39 s` or `2 h 05 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < 10 else human_seconds(seconds)


def rounded(number: float | None) -> str:
    """Such as `29,316`."""
    return NOTHING if number is None else f"{number:,.0f}"


def short(value: Any) -> str:
    """A value in at most `LONGEST` characters; a hash in twelve."""
    text = NOTHING if value is None else str(value)
    if len(text) in (40, 64) and all(letter in "0123456789abcdef" for letter in text):
        return text[:12]
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def both_short(one: Any, other: Any) -> tuple[str, str]:
    """Two values that differ, `short`; in full where what differs lies in what would be cut."""
    texts = short(one), short(other)
    return texts if texts[0] != texts[1] else (str(one), str(other))


def names(words: Iterable[str], most: int = 6) -> str:
    """`a, b and c`; beyond `most`, how many more."""
    found = list(words)
    if len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most} more"
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def count(number: int, word: str, plural: str | None = None) -> str:
    """`1 run`, `3 runs`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
