"""Numbers and facts in the form that people read, in one place, so that terminal and page agree."""

from collections.abc import Iterable
from typing import Any

from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.progress import human_seconds
from kcd_pipeline.statistics import Interval

MISSING = "–"  # stands where a number does not exist or was not recorded
MAX_LENGTH = 48  # characters of a value; longer ones are cut


def percent(fraction: float) -> str:
    """Return an accuracy or a share 0..1 as `98.89%`."""
    return f"{100 * fraction:.2f}%"


def mean_and_spread(mean: float, deviation: float | None) -> str:
    """Return a mean accuracy 0..1 as `98.89 ± 0.12%`, or as `98.89%` where one run cannot show a deviation."""
    return percent(mean) if deviation is None else f"{100 * mean:.2f} ± {100 * deviation:.2f}%"


def kept_range(fractions: list[float]) -> str:
    """Return the shares of the first and the last stage as `100 → 70%`, or as `100%` where there is one stage.

    The smallest share stands between them if it is less than both, as `100 → 62 → 100%`.
    """
    shares = [fractions[0], fractions[-1]] if len(fractions) > 1 else fractions
    if min(fractions) < min(shares):
        shares = [shares[0], min(fractions), shares[1]]
    return f"{' → '.join(f'{100 * share:.0f}' for share in shares)}%"


def measured(value: float) -> str:
    """Return a number of any unit, such as a metric of the user's own, to four digits: `0.9342`, `1.2e+05`."""
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return a measured time with decimals where they matter: `0.31 s`, `4.8 s`, `39 s`, `2 h 05 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < 10 else human_seconds(seconds)


def whole_number(number: float | None) -> str:
    """Return a number rounded to a whole one, as `29,316`; a dash for None."""
    return MISSING if number is None else f"{number:,.0f}"


def shortened(value: Any) -> str:
    """Return a value in at most `MAX_LENGTH` characters, and a hexadecimal hash in its first twelve."""
    text = MISSING if value is None else shown_in_line(str(value))
    if len(text) in (40, 64) and all(letter in "0123456789abcdef" for letter in text):
        return text[:12]
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"


def shortened_pair(one: Any, other: Any) -> tuple[str, str]:
    """Return two different values shortened, or in full where shortening would make them equal."""
    texts = shortened(one), shortened(other)
    return texts if texts[0] != texts[1] else (str(one), str(other))


def listing(words: Iterable[str], most: int = 6) -> str:
    """Return words as `a, b and c`; beyond `most` words, as `a, b and 3 more`."""
    found = list(words)
    if len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most} more"
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def counted(number: int, word: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 run`, `3 runs`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def points(number: float) -> str:
    """Return a difference in points of accuracy with its sign, as `+0.45` or `-1.20`."""
    text = f"{number:+.2f}"
    return "0.00" if float(text) == 0 else text


def interval_ends(interval: Interval, decimals: int = 2) -> str | None:
    """Return the ends of an interval of points as `-0.50 to +0.40`; None if it has no ends."""
    if interval.low is None or interval.high is None:
        return None
    return f"{interval.low:+.{decimals}f} to {interval.high:+.{decimals}f}"


def percent_interval(interval: Interval) -> str | None:
    """Return the ends of an interval of accuracies 0..1 as `98.50 to 99.12%`; None if it has no ends."""
    if interval.low is None or interval.high is None:
        return None
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f}%"


def p_value(p: float) -> str:
    """Return a p value with two significant digits, as `0.062`, and `<0.001` below that."""
    return "<0.001" if p < 0.001 else f"{p:#.2g}"
