"""Text from outside made fit to be shown: names and facts may come from a stranger's store, run or file system.

A terminal obeys control characters: they can clear the screen, set its title or print another answer over the first.
Marks of the direction of writing show text in another order than it has. Half a surrogate pair, which stands for a byte
of a file name that is not UTF-8, cannot be printed at all. Each is shown as an escape, such as `\\x1b`. The secrets of
URLs are masked on the way.
"""

import re
from typing import Any

from kcd_stores import masked

CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"  # all but tab and newline
DIRECTIONS = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
SURROGATES = "\ud800-\udfff"
UNFIT = re.compile(f"[{CONTROLS}{DIRECTIONS}{SURROGATES}]")


def shown(text: str) -> str:
    """Return `text` with an escape for each character that is not fit to be shown, and without the secrets of URLs.

    Lines stay lines.
    """
    return escaped(masked(text))


def escaped(text: str) -> str:
    """Return `text` with an escape for each character that is not fit to be shown."""
    return UNFIT.sub(_escape, text)


def shown_in_line(text: str) -> str:
    """Return `text` as `shown` does, in one line: with escapes for tabs and newlines too."""
    return shown(text).replace("\t", r"\t").replace("\n", r"\n")


def masked_facts(facts: Any) -> Any:
    """Return plain data, such as a config of a run, without the secrets of the URLs in it."""
    if isinstance(facts, dict):
        return {masked_facts(key): masked_facts(value) for key, value in facts.items()}
    if isinstance(facts, list):
        return [masked_facts(value) for value in facts]
    return masked(facts) if isinstance(facts, str) else facts


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # the byte of a file name
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
