"""Recipes laid over recipes, and `--set section.key=value` over both."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kcd_pipeline.config.places import OF_RUN, PLACES_OF_TEACHER
from kcd_pipeline.config.schema import Config
from kcd_pipeline.config.section import section_of, sections_by_name
from kcd_pipeline.config.several_teachers import names_teachers, with_first_teacher, without_teachers
from kcd_pipeline.config.yaml_files import MAX_DEPTH, parse_yaml
from kcd_pipeline.errors import UserError
from kcd_stores import masked


def merge(
    below: Mapping[str, Any], above: Mapping[str, Any], section: type[BaseModel] | None = Config
) -> dict[str, Any]:
    """Return the keys of `above` over those of `below`, mapping by mapping; any other value replaces what is below it.

    A list of teachers replaces all teachers of a recipe.

    Two mappings are not joined, but the upper one is taken, where it names another loss (whose keys are others), and
    where it is the empty mapping in the place of a model's arguments.
    """
    if section is Config and names_teachers(above):
        below, above = without_teachers(below), with_first_teacher(above, "the recipe")
    fields = {} if section is None else section.model_fields
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merge_values(merged.get(key), value, fields.get(key))
    return merged


def _merge_values(below: Any, above: Any, field: FieldInfo | None) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    names = list(sections_by_name(field)) if field else []
    if names and above.get("name", below.get("name", names[0])) != below.get("name", names[0]):
        return above
    child = section_of(field, above) if field else None
    if not above and child is None:
        return above
    return merge(below, above, child)


def merge_override(tree: Mapping[str, Any], override: str) -> dict[str, Any]:
    """Return `tree` with one `section.key=value` over it; the value is read as YAML, and a mapping is merged.

    Raises
    ------
    UserError
        If it has no key or no value, the value is not YAML, or the key lies below what is no section.
    """
    key, equals, text = _as_typed(override).partition("=")
    names = key.strip().split(".")
    if not equals or not all(names) or "://" in key:
        raise UserError(
            f"--set takes section.key=value, found '{masked(override[:200])}'; for example --set distill.epochs=30"
        )
    if len(names) > MAX_DEPTH:
        raise UserError(f"--set {key[:200]}: a key has at most {MAX_DEPTH} parts, found {len(names)}")
    above = _read_value(key, text)
    for name in reversed(names):
        above = {name: above}
    _require_sections(tree, names, key)
    return merge(tree, above)


def override_of(key: str, value: Any) -> str:
    """Return the override that sets `key` to a value of plain data, as `merge_override` reads it."""
    if isinstance(value, str) and (value.startswith(OF_RUN) or (value.isprintable() and _is_plain(value))):
        return f"{key}={value}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{key}=.nan" if math.isnan(value) else f"{key}={'-' if value < 0 else ''}.inf"
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def only_teacher(config: Config) -> str:
    """Return the override that leaves a recipe of several teachers the one of `config` alone, as `for_teacher` does."""
    keys = {**config.teacher.model_dump(mode="json"), "store": config.store.path}
    places = {name: keys[name].replace("$", "$$") for name in PLACES_OF_TEACHER if keys.get(name)}
    return override_of("teacher", [{**keys, **places}])


def as_override(key: str, path: str | Path) -> str:
    """Return the override that sets `key` to exactly this path, whatever characters are in it."""
    text = f"./{path}" if str(path).startswith("~") else str(path)
    if "$" not in text and text.isprintable() and _is_plain(text):
        return f"{key}={text}"
    return f"{key}={json.dumps(text.replace('$', '$$'), ensure_ascii=False)}"


def _is_plain(text: str) -> bool:
    try:
        return bool(parse_yaml(text) == text)
    except ValueError:
        return False


def _as_typed(override: str) -> str:
    """Return an argument in UTF-8, which a terminal sends, also where the locale made halves of characters of it."""
    try:
        return override.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:  # bytes of another encoding: they are refused with the key
        return override


def _read_value(key: str, text: str) -> Any:
    if text.startswith(OF_RUN):  # a path such as {student}-{seed}, which YAML takes for a mapping and a mistake
        return text
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UserError(f"--set {key}: '{masked(text[:100])}' is not a YAML value: {error}") from error


def _require_sections(tree: Mapping[str, Any], names: list[str], key: str) -> None:
    """Raise if any but the last of `names`, one below the other, is a value of `tree`."""
    below: Any = tree
    for name in names[:-1]:
        below = below.get(name, {})
        if not isinstance(below, Mapping):
            raise UserError(f"--set {key}: '{name}' is a value, not a section")
