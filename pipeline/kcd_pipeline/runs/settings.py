"""The settings of a run that decide what it trains."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.config import MOVABLE_KEYS


def fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` without the keys that say where or on what machine a run takes place."""
    return {
        section: {key: value for key, value in values.items() if f"{section}.{key}" not in MOVABLE_KEYS}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }
