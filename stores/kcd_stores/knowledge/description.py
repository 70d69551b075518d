"""Descriptions of what a store was made from, compared: both sides of each difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "(nothing)"
LONGEST_VALUE = 72  # characters of a value in a message
SHOWN_ALIKE = 24  # characters before the first difference of two long values


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One fact on which two descriptions disagree; `key` is its path, with dots: `teacher.weights_sha256`."""

    key: str
    found: Any
    expected: Any

    def __str__(self) -> str:
        found, expected = str(self.found), str(self.expected)
        pairs = enumerate(zip(found, expected, strict=False))
        alike = next((place for place, (one, other) in pairs if one != other), min(len(found), len(expected)))
        return f"{self.key}: found {_short(found, alike)}, expected {_short(expected, alike)}"


def _short(text: str, alike: int) -> str:
    """Return `text` cut where it is long, with the first place where it differs: after `alike` characters."""
    if alike > LONGEST_VALUE // 2:
        text = f"…{text[alike - SHOWN_ALIKE :]}"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def flatten(description: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping with dotted keys; tuples become lists, as they do in JSON."""
    flat: dict[str, Any] = {}
    for key, value in description.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Difference]:
    """Return the differences of `found` from `expected`; keys that `expected` lacks do not count."""
    have, want = flatten(found), flatten(expected)
    return [
        Difference(key=key, found=have.get(key, MISSING), expected=value)
        for key, value in want.items()
        if have.get(key, MISSING) != value
    ]


def difference_lines(items: list[Difference]) -> str:
    """Return the differences as text for the end of a message, one on each line, indented."""
    return "\n".join(f"  {item}" for item in items)
