"""What a store was made from, compared with what is asked for: both sides of each difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "(nothing)"
LONGEST = 72


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One fact on which two descriptions disagree; `key` is dotted."""

    key: str
    found: Any
    expected: Any

    def __str__(self) -> str:
        return f"{self.key}: found {_short(self.found)}, expected {_short(self.expected)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def flatten(description: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys; lists and tuples alike become lists."""
    flat: dict[str, Any] = {}
    for key, value in description.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Difference]:
    """Where `found` differs from `expected`, only over the keys that `expected` names."""
    have, want = flatten(found), flatten(expected)
    return [
        Difference(key=key, found=have.get(key, MISSING), expected=value)
        for key, value in want.items()
        if have.get(key, MISSING) != value
    ]


def listed(items: list[Difference]) -> str:
    """Differences one a line, indented, for the end of a message."""
    return "\n".join(f"  {item}" for item in items)
