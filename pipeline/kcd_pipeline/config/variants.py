"""Words that set a run apart from others: by its method, for reports, and by all that it changes, for its folder."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from kcd_pipeline.config.condense import POLICY_NAMES, VALUE_NAMES
from kcd_pipeline.config.mixing import MIXES, MixConfig

# Keys that say where or on what machine a run takes place: they may change when it is resumed, and its folder is not
# named after them. The memory budget may change too: origin.json has all that matters of it, the mode of streaming,
# which decides the order of samples.
MOVABLE_KEYS = frozenset(
    {
        "run.dir", "run.device", "run.threads", "run.resident", "run.trackers",
        "data.root", "data.download", "data.workers",
        "store.path", "store.memory",
        "teacher.weights",
    }
)  # fmt: skip

MOVABLE_OF_TEACHER = frozenset({"weights", "store"})  # keys of each of `other_teachers`, which may change likewise

# key of `condense` -> {value: words}; the values of the plain method have none
CONDENSE_WORDS: dict[str, dict[Any, str]] = {
    "policy": {name: name for name in POLICY_NAMES if name != "kcd"},
    "value": {name: f"by {name.replace('_', ' ')}" for name in VALUE_NAMES if name != "entropy"},
    "balance": {"class": "balanced"},
    "alpha": {0: "alpha 0"},
    "keep": {"least": "least valued", "random": "random"},
    "track": {"latest": "latest"},
    "perturb": {"off": "drop only", "pair": "pairs", "teacher": "judged blends"},
}
MEAN_OF_LOGITS = "mean of logits"  # the word of a run whose teachers are blended so
LONGEST_VALUE = 16  # characters of a value in the name of a folder; of a longer one there is a digest
# parts that are named in the name of a folder, if they are the user's own
NAMED_PARTS = ("augmentation.name", "teacher.optimizer", "teacher.schedule", "distill.optimizer", "distill.schedule")
LONGEST_OWN = 40  # characters of the name of a part of the user's own
LONGEST_NAME = 100  # characters of all changes; of more there is one digest


def variant_words(config: Mapping[str, Any]) -> list[str]:
    """Return the words of a run, such as `["drop only"]`; an empty list for the plain method.

    Parameters
    ----------
    config
        A config as plain data. Keys that it lacks, because an older version wrote it, count as those of the plain
        method.
    """
    by_kcd = _section(config, "distill").get("method") == "kcd"
    given_plans = by_kcd and _section(config, "condense").get("plans_from")
    words = [*_words_by_key(config).values(), *(["given plans"] if given_plans else [])]
    taught = _section(config, "distill").get("method") in ("kd", "kcd")
    return [*([teachers_word(1 + _others(config))] if taught and _others(config) else []), *words]


def teachers_word(count: int) -> str:
    """Return the word of a run that several teachers teach."""
    return f"{count} teachers"


def _others(config: Mapping[str, Any]) -> int:
    """Return how many teachers a run has beside the first."""
    others = config.get("other_teachers")
    return len(others) if isinstance(others, list) else 0


def fixed_of_teachers(teachers: Any) -> dict[str, Any]:
    """Return the settings of `other_teachers` by their number, without those that say where things are.

    Anybody may have written the config, so what is no list of sections is returned as it is, under one key.
    """
    if not isinstance(teachers, list | tuple) or not all(isinstance(teacher, Mapping) for teacher in teachers):
        return {"count": teachers}
    fixed = [{k: v for k, v in teacher.items() if k not in MOVABLE_OF_TEACHER} for teacher in teachers]
    return {"count": len(fixed), **{str(number): teacher for number, teacher in enumerate(fixed)}}


def _words_by_key(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the words of a run by the keys that they stand for: each word says all about the value of its key."""
    distill = _section(config, "distill")
    if distill.get("method") not in ("kd", "kcd"):
        return {}
    loss = _section(distill, "loss")
    words = {
        "distill.blend": MEAN_OF_LOGITS if _others(config) and distill.get("blend") == "logits" else None,
        "distill.loss.name": None if loss.get("name") == "kd" else _own_name(loss.get("name")) or loss.get("name"),
        "distill.loss.standardise": "standardised" if loss.get("standardise") else None,
    }
    if distill["method"] == "kcd":
        condense = _section(config, "condense")
        for key, of_value in CONDENSE_WORDS.items():
            chosen = condense.get(key)
            word = next((word for value, word in of_value.items() if chosen == value), None)
            words[f"condense.{key}"] = word or _own_word(key, chosen)
    return {key: str(word) for key, word in words.items() if word}


def _own_word(key: str, chosen: Any) -> str | None:
    """Return the word for a value function or a policy of the user's own; None for anything else."""
    name = _own_name(chosen) if key in ("value", "policy") else None
    return f"by {name}" if name and key == "value" else name


def _own_name(chosen: Any) -> str | None:
    """Return the name of a part of the user's own as it can stand in the name of a folder; None for anything else."""
    if not isinstance(chosen, str) or ":" not in chosen:
        return None
    name = chosen.replace(":", ".")
    return name if re.fullmatch(rf"[\w.]{{1,{LONGEST_OWN}}}", name, re.ASCII) else f"own {_digest(chosen)}"


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a config that anybody may have written; empty if it is missing or no section."""
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def change_words(config: Mapping[str, Any], recipe: Mapping[str, Any], *, folder: str) -> list[str]:
    """Return what a config changes of its recipe beyond `variant_words`, such as `["epochs=30"]` for distill.epochs.

    Parameters
    ----------
    config, recipe
        Both as plain data, with every default written out.
    folder
        run.dir: the seed and the student are no changes where it has a placeholder for them.
    """
    named = {*MOVABLE_KEYS, *_words_by_key(config), "distill.method"}
    named |= {key for key, place in (("seed", "{seed}"), ("student.model", "{student}")) if place in folder}
    settings, before = _settings(config), _settings(recipe)
    changes = {key: value for key, value in settings.items() if key not in named and value != before.get(key)}
    words = [f"{key.removeprefix('distill.')}={_short(value, key)}" for key, value in changes.items()]

    too_long = len("-".join(words)) > LONGEST_NAME
    return [f"{len(words)}-changes-{_digest(changes)}"] if too_long else words


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all keys with dots and their values; the arguments of a model are one value."""
    settings: dict[str, Any] = {}
    for section, keys in config.items():
        if section == "other_teachers":
            settings[section] = fixed_of_teachers(keys) if keys else "none"
            continue
        if not isinstance(keys, Mapping):
            settings[section] = keys
            continue
        settings |= {f"{section}.{key}": value for key, value in keys.items()}
    loss = settings.pop("distill.loss", {})
    settings |= {f"distill.loss.{key}": value for key, value in loss.items()}
    return settings


def _short(value: Any, key: str) -> str:
    """Return a value as it is written in a recipe, or a digest if it is long or has characters of a path."""
    if key in NAMED_PARTS and (name := _own_name(value)):
        return name
    if key == "augmentation.mix" and isinstance(value, Mapping) and value.get("name") in MIXES:
        plain = MixConfig(name=value["name"]).model_dump() == dict(value)
        return value["name"] if plain else f"{value['name']}-{_digest(value)}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if re.fullmatch(rf"[\w.+-]{{1,{LONGEST_VALUE}}}", text, re.ASCII) else _digest(value)


def _digest(value: Any) -> str:
    """Return eight hex digits that are the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
