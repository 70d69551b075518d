"""The settings of runs: those that make an arm, and those on which runs differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kcd_pipeline.config import MOVABLE_KEYS
from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.runs.settings import fixed_settings, with_defaults
from kcd_stores.knowledge import flatten

# Beginnings of the keys that have no effect on a method
IGNORED_KEYS = {
    "none": (
        *("condense.", "other_teachers.", "teacher.weight", "distill.blend"),
        *("distill.loss.", "distill.temperature", "distill.ce_weight", "distill.kd_"),
    ),
    "kd": ("condense.", "distill.kd_follows_kept"),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A key of the config on which runs differ: each of its values, with the labels of the runs that have it."""

    key: str
    values: tuple[tuple[Any, tuple[str, ...]], ...]


def arm_settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings that the runs of an arm share, with dotted keys.

    A key that a run of an older version lacks has its default. Three kinds of settings are left out: the seed; keys
    that say where things are, because stores and test sets are compared by content; and keys that have no effect on the
    run's method.
    """
    ignored = IGNORED_KEYS.get(run.method, ())
    # two runs by other sources of a part of the user's own are of two arms, though the part has one name
    sources = {f"{key}.source": digest[:8] for key, digest in run.summary.get("parts", {}).items()}
    return {
        key: value
        for key, value in (with_defaults(flatten(fixed_settings(run.config))) | sources).items()
        if key != "seed" and key not in MOVABLE_KEYS and not key.startswith(ignored)
    }


def differing_keys(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose value is not the same in all of `settings`, in order of appearance."""
    keys = dict.fromkeys(key for mapping in settings for key in mapping)
    return [key for key in keys if len({json.dumps(mapping.get(key)) for mapping in settings}) > 1]


def differing_settings(runs: Sequence[RunRecord]) -> list[Setting]:
    """Return the settings on which `runs` differ; the folder of the run itself is left out."""
    # a key that a run of an older version lacks has its default
    flat = [
        {key: value for key, value in with_defaults(flatten(run.config)).items() if key != "run.dir"} for run in runs
    ]
    found = []
    for key in differing_keys(flat):
        by_value: dict[str, tuple[Any, list[str]]] = {}
        for run, settings in zip(runs, flat, strict=True):
            value = settings.get(key)
            by_value.setdefault(json.dumps(value), (value, []))[1].append(run.label)
        found.append(Setting(key=key, values=tuple((value, tuple(labels)) for value, labels in by_value.values())))
    return found
