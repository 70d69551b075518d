"""Configs of runs of the first format, in the words of today."""

from collections.abc import Mapping
from typing import Any

TRACKS = {"mean": "mean", "current": "latest"}  # `condense.value` of earlier versions, whose value was the entropy


def in_todays_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config as plain data, in which `condense.value` named how visits are added up, in the words of today."""
    condense = config.get("condense")
    named = condense.get("value") if isinstance(condense, Mapping) else None
    if not (isinstance(condense, Mapping) and isinstance(named, str) and named in TRACKS):
        return dict(config)
    return {**config, "condense": {"track": TRACKS[named], **condense, "value": "entropy"}}
