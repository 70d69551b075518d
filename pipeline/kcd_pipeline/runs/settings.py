"""The settings of a run that decide what it trains, and those that say where or on what machine it does so."""

from collections.abc import Mapping
from typing import Any

# These may change when a run goes on. The memory budget may change too: origin.json has all that matters of it, the
# mode of streaming, which decides the order of samples.
MOVABLE_KEYS = frozenset(
    {
        "run.dir", "run.device", "run.threads", "run.resident",
        "data.root", "data.download", "data.workers",
        "store.path", "store.memory",
        "teacher.weights",
    }
)  # fmt: skip


def fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` without its movable keys."""
    return {
        section: {key: value for key, value in values.items() if f"{section}.{key}" not in MOVABLE_KEYS}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }
