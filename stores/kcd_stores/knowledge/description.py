"""Descriptions of what a store was made from, compared: both sides of each difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "(nothing)"
LONGEST_VALUE = 72  # characters of a value in a message


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One fact on which two descriptions disagree; `key` is its path, with dots: `teacher.weights_sha256`."""

    key: str
    found: Any
    expected: Any

    def __str__(self) -> str:
        return f"{self.key}: found {_short(self.found)}, expected {_short(self.expected)}"


def _short(value: Any) -> str:
    text = str(value)
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
