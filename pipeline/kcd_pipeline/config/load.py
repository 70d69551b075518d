"""A validated `Config` from a recipe, the recipes that it extends, and `--set section.key=value`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kcd_pipeline.config.explain import explain, require_known_keys
from kcd_pipeline.config.recipes import find_extended, find_recipe
from kcd_pipeline.config.schema import Config
from kcd_pipeline.config.yaml_files import read_yaml
from kcd_pipeline.errors import UserError

EXTENDS = "extends"  # top-level key: the recipe from which this one states its differences


def load_config(name: str, overrides: Iterable[str] = ()) -> Config:
    """Return the config of the recipe `name`, over what it extends, with `overrides` put over both.

    Parameters
    ----------
    name
        A YAML file, or the name of a shipped recipe.
    overrides
        Texts of the form `section.key=value`; of two that set the same key, the last one counts.

    Raises
    ------
    UserError
        If there is no such recipe, a file is not YAML of the right shape, it extends a recipe that is missing or
        itself, a key is unknown, or a value is out of bounds.
    """
    path = find_recipe(name)
    tree, extended = _read_recipe(path, ())
    source = ", which extends ".join(map(str, (path, *extended)))
    for override in overrides:
        _apply_override(tree, override)
        source = f"{path} with --set"
    return parse_config(tree, source=source)


def parse_config(tree: Mapping[str, Any], *, source: str) -> Config:
    """Validate plain data as a `Config`; errors name `source`.

    Raises
    ------
    UserError
        If a key is unknown or missing, or a value is out of bounds.
    """
    require_known_keys(tree, source)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(explain(error, source)) from error


def _read_recipe(path: Path, extending: tuple[Path, ...]) -> tuple[dict[str, Any], list[Path]]:
    """Return the keys of a recipe over those of what it extends, and the files that it extends, nearest first.

    `extending` are the recipes that led here, each of which extends the next.
    """
    tree = read_yaml(path)
    base = tree.pop(EXTENDS, None)
    require_known_keys(tree, str(path))  # before recipes are merged, so that the message names the file of the key
    if base is None:
        return tree, []
    found = find_extended(base, path)
    chain = (*extending, path)
    if found.resolve() in [file.resolve() for file in chain]:
        raise UserError(f"recipes extend each other in a circle: {' -> '.join(map(str, (*chain, found)))}. Break it.")
    below, extended = _read_recipe(found, chain)
    return _merge(below, tree), [found, *extended]


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Put `above` over `below`, section by section; a value replaces what is below it."""
    merged = dict(below)
    for key, value in above.items():
        both_sections = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both_sections else value
    return merged


def _apply_override(tree: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` in `tree`; the value is read as YAML."""
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise UserError(f"--set takes section.key=value, found '{override}'; for example --set distill.epochs=30")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--set {key}: '{text}' is not a YAML value: {error}") from error
    for name in names[:-1]:
        child = tree.setdefault(name, {})
        if not isinstance(child, dict):
            raise UserError(f"--set {key}: '{name}' is a value, not a section")
        tree = child
    tree[names[-1]] = value
