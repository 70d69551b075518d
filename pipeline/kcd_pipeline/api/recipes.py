"""Recipes in all the forms that a caller may have them in, with changes of single keys."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from kcd_pipeline.config import Config, Recipe, as_override, override_of
from kcd_pipeline.config.places import PLACES

RecipeLike = Config | Mapping[str, Any] | str | os.PathLike[str]
Overrides = Mapping[str, Any] | Iterable[str]


def load_config(config: RecipeLike, overrides: Overrides = ()) -> Config:
    """Return the validated config of a recipe, with every default written out.

    Parameters
    ----------
    config
        The name of a shipped recipe such as `digits`, the path of a YAML file, a mapping of its keys, or a `Config`.
    overrides
        Changes of single keys: a mapping such as `{"distill.epochs": 30}`, or texts such as `"distill.epochs=30"`.

    Raises
    ------
    UserError
        If there is no such recipe, a key is unknown, or a value is out of bounds.
    """
    changes = override_texts(overrides)
    return config if isinstance(config, Config) and not changes else read_recipe(config).config(changes)


def read_recipe(config: RecipeLike) -> Recipe:
    """Return a recipe that gives a config for each set of overrides; see `load_config`."""
    if isinstance(config, Config):
        return Recipe.of_keys(_places_kept(config.model_dump(mode="json")), source="the config")
    if isinstance(config, Mapping):
        return Recipe.of_keys(_plain(config), source="the mapping of keys")
    return Recipe(os.fspath(config))


def override_texts(overrides: Overrides) -> list[str]:
    """Return overrides as the command line takes them, `section.key=value`."""
    if isinstance(overrides, str):
        return [overrides]
    if not isinstance(overrides, Mapping):
        return list(overrides)
    return [
        as_override(key, os.fspath(value)) if isinstance(value, os.PathLike) else override_of(key, _plain(value))
        for key, value in overrides.items()
    ]


def _plain(value: Any) -> Any:
    """Return keys and values as a YAML file holds them: paths are texts, tuples are lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _places_kept(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a config with each dollar sign of a path written as `$$`: its variables are filled in."""
    for key in PLACES:
        section, name = key.split(".")
        place = tree[section].get(name)
        if isinstance(place, str):
            tree[section][name] = place.replace("$", "$$")
    return tree
