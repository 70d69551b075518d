"""The arms that a study file describes: those that it names, and the combinations of its grid."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kcd_pipeline.config import Config, Study, override_of
from kcd_pipeline.errors import UserError

MANY_ARMS = 500


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One set of settings of a study; its runs differ only by seed.

    Attributes
    ----------
    name
        Its name, which no other arm of the study has.
    overrides
        Its overrides of the base, beside those of the whole study.
    rows_of
        Name of the arm at whose number of rows this one is stopped, or None.
    """

    name: str
    overrides: tuple[str, ...]
    rows_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Value:
    """One value of an axis of a grid: a named set of overrides, or a value of the recipe's key `key`."""

    overrides: tuple[str, ...]
    name: str | None = None
    key: str | None = None
    given: Any = None


def make_arms(study: Study) -> tuple[dict[str, Arm], dict[str, Config]]:
    """Return the arms of a study by name, and the config of each with the first seed.

    A combination of the grid that comes to the config of a named arm is that arm.

    Raises
    ------
    UserError
        If the overrides of an arm fit no recipe, or two arms have one name or one config.
    """
    vary = study.config.vary
    _require_base(study)
    arms: dict[str, Arm] = {}
    configs: dict[str, Config] = {}
    for name, overrides in vary.arms.items():
        arms[name] = Arm(name=name, overrides=overrides)
        configs[name] = arm_config(study, arms[name], study.seeds[0])
        _require_another(study, name, configs)
    named = {name: configs[name] for name in arms}
    for combination in _combinations(study):
        overrides = tuple(override for value in combination for override in value.overrides)
        about = ", ".join(value.name or value.overrides[0] for value in combination)
        config = arm_config(study, Arm(name=about, overrides=overrides), study.seeds[0])
        if config in named.values():
            continue
        name = _name(combination, config)
        if name in arms:
            raise UserError(
                f"{study.path}: vary: two arms are named '{name}'. Name the values of one axis of the grid otherwise."
            )
        arms[name], configs[name] = Arm(name=name, overrides=overrides), config
        _require_another(study, name, configs)
    return arms, configs


def _require_base(study: Study) -> None:
    """Raise if the base with the overrides of all arms is no recipe, which is then the fault of none of the arms."""
    try:
        study.recipe.config((*study.overrides, *study.last_overrides))
    except UserError as error:
        raise UserError(f"{study.path}: the base and 'set': {error}") from error


def arm_config(study: Study, arm: Arm, seed: int, overrides: tuple[str, ...] = ()) -> Config:
    """Return the config of the run of an arm with a seed, and with more `overrides` over its own.

    Raises
    ------
    UserError
        If they fit no recipe.
    """
    try:
        return study.recipe.config(run_overrides(study, arm, seed, overrides))
    except UserError as error:
        raise UserError(f"{study.path}: arm '{arm.name}': {error}") from error


def run_overrides(study: Study, arm: Arm, seed: int, overrides: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return all overrides of the run of an arm with a seed, the weakest first."""
    return (*study.overrides, *arm.overrides, *study.last_overrides, *overrides, f"seed={seed}")


def _combinations(study: Study) -> Iterator[tuple[_Value, ...]]:
    grid = study.config.vary.grid
    if not grid:
        return
    axes = [_axis_values(study, name, axis) for name, axis in grid.items()]
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MANY_ARMS:
        raise UserError(f"{study.path}: vary.grid has {count:,} combinations, expected at most {MANY_ARMS}.")
    yield from itertools.product(*axes)


def _axis_values(study: Study, name: str, axis: Mapping[str, tuple[str, ...]] | tuple[Any, ...]) -> list[_Value]:
    if isinstance(axis, Mapping):
        return [_Value(name=value, overrides=overrides) for value, overrides in axis.items()]
    if name == "seed":
        raise UserError(f"{study.path}: vary.grid.seed: the seeds of a study are those of its key 'seeds'.")
    if "." not in name:
        raise UserError(
            f"{study.path}: vary.grid.{name}: a list gives the values of a key such as condense.dropped, which "
            f"'{name}' is not. Name the key with its section, or give each value a name and overrides: "
            f"{{NAME: {{KEY: VALUE}}}}."
        )
    return [_Value(key=name, given=value, overrides=(override_of(name, value),)) for value in axis]


def _name(combination: tuple[_Value, ...], config: Config) -> str:
    """Return the name of a combination, such as `dropped=new, dkd`."""
    keys = [value.key for value in combination if value.key]
    last = [key.rpartition(".")[2] for key in keys]
    words = []
    for value in combination:
        if value.key is None:
            words.append(str(value.name))
            continue
        short = value.key.rpartition(".")[2]
        words.append(f"{short if last.count(short) == 1 else value.key}={_word(value, config)}")
    return ", ".join(words)


def _word(value: _Value, config: Config) -> str:
    """Return a value as the config has it, where YAML has read a word such as `off` as another value."""
    found: Any = config.plain()
    for part in str(value.key).split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    word = found if isinstance(found, str | int | float) else value.given
    return word if isinstance(word, str) else json.dumps(word, ensure_ascii=False)


def _require_another(study: Study, name: str, configs: Mapping[str, Config]) -> None:
    """Raise if the config of the arm `name` is that of one before it."""
    for other, config in configs.items():
        if other != name and config == configs[name]:
            raise UserError(
                f"{study.path}: vary: arms '{other}' and '{name}' are the same: no key of a recipe differs between "
                f"them. Remove one, or change what it overrides."
            )
