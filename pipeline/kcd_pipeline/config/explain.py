"""Errors of a recipe in words that name its keys: unknown keys, and what pydantic finds wrong with values."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from kcd_pipeline.config.schema import Config
from kcd_pipeline.config.section import item_section_of, item_sections_by_name, section_of, sections_by_name
from kcd_pipeline.config.suggestions import did_you_mean
from kcd_pipeline.errors import UserError
from kcd_stores import masked

LONGEST_SHOWN = 200  # characters of a value in a message
SECTIONS = set(Config.model_fields) - {"seed"}


def require_known_keys(tree: Mapping[str, Any], source: str, root: type[BaseModel] = Config) -> None:
    """Raise UserError if `tree` has a key that a recipe does not have, or a value in the place of a section.

    `root` is the model of the file: a recipe, or a study.
    """
    _require_keys_of(root, tree, "", source)


def _require_keys_of(section: type[BaseModel], tree: Mapping[str, Any], prefix: str, source: str) -> None:
    known = section.model_fields
    for key, value in tree.items():
        if key not in known:
            where = f"section '{prefix[:-1]}'" if prefix else "the top level"
            found = f"{prefix}{masked(str(key))[:LONGEST_SHOWN]}"
            raise UserError(
                f"{source}: there is no key '{found}'{did_you_mean(str(key), known)} ({where} has: {', '.join(known)})"
            )
        child = section_of(known[key], value)
        if child is not None:
            if not isinstance(value, Mapping):
                raise UserError(f"{source}: '{prefix}{key}' is a section of keys, found {shown(value)}")
            _require_keys_of(child, value, f"{prefix}{key}.", source)
        if isinstance(value, list | tuple):
            for number, keys in enumerate(value):
                item = _section_of_item(known[key], keys)
                if item is not None:
                    _require_keys_of(item, keys, f"{prefix}{key}.{number}.", source)


def _section_of_item(field: FieldInfo, item: Any) -> type[BaseModel] | None:
    """Return the section that an item of a field is; None if it is none, or names none that there is."""
    if not isinstance(item, Mapping):
        return None
    return item_section_of(field) or item_sections_by_name(field).get(str(item.get("name")))


def shown(value: Any) -> str:
    """Return a value as it stands in a message: without the secrets of a URL, and cut where it is long."""
    text = masked(repr(value))
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def explain(error: ValidationError, source: str, root: type[BaseModel] = Config) -> str:
    """Return all that pydantic found wrong, one sentence each, after the name of the source.

    `root` is the model of the file: a recipe, or a study.
    """
    return f"{source}: " + "; ".join(_explain_one(dict(item), root) for item in error.errors())


def _explain_one(item: dict[str, Any], root: type[BaseModel]) -> str:
    key, found, kind = _dotted_key(item["loc"], root), item.get("input"), item["type"]
    if kind == "missing" and isinstance(item["loc"][-1], int):  # a pair of which only one is there
        return f"{key.rpartition('.')[0]}: found {shown(found)}, expected a list with more items"
    if kind == "missing":
        advice = f"set it in the file or with --set {key}=..."
        if root is not Config:
            advice = "add it to the file"
        elif key.startswith("other_teachers."):
            advice = f"add it to teacher {int(key.split('.')[1]) + 2} of the file"
        elif key in SECTIONS:
            advice = "add the section to the file"
        return f"{key} is missing: {advice}"
    if kind == "literal_error":
        known = _quoted_names(item["ctx"]["expected"].replace(" or ", ","))
        return f"{key}: found {shown(found)}, expected one of {', '.join(known)}{did_you_mean(str(found), known)}"
    if kind == "union_tag_invalid":
        tag, known = item["ctx"]["tag"], _quoted_names(item["ctx"]["expected_tags"])
        return f"{key}.name: found {shown(tag)}, expected one of {', '.join(known)}{did_you_mean(tag, known)}"
    if kind == "union_tag_not_found":
        return f"{key}: found {shown(found)}, expected a mapping with a `name`, such as {{name: ...}}"
    if kind in ("model_type", "model_attributes_type"):
        return f"{key}: found {shown(found)}, expected a section of keys"
    if kind == "value_error":
        problem = item["msg"].removeprefix("Value error, ")
        return f"{key}: {problem}" if key else problem  # one that compares sections has no key of its own
    if kind == "tuple_type":
        example = shown(found).strip("'") if isinstance(found, str | int | float) else "..."
        return f"{key}: found {shown(found)}, expected a list, such as [{example}]"
    if kind == "too_long":
        return f"{key}: found {shown(found)}, expected a list of {item['ctx']['max_length']}"
    return f"{key}: found {shown(found)}; {item['msg'][0].lower()}{item['msg'][1:]}"


def _quoted_names(text: str) -> list[str]:
    """Return the names of a list such as `'kd', 'dkd'`."""
    return [name.strip(" '") for name in text.split(",")]


def _dotted_key(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """Return the key at a place that pydantic names, such as `distill.loss.alpha`.

    For a section that is chosen by its name, also as an item of a list, pydantic puts that name into the place as if
    it were a key; it is left out here.
    """
    names: list[str] = []
    model: type[BaseModel] | None = root
    by_name: dict[str, type[BaseModel]] = {}
    by_name_of_item: dict[str, type[BaseModel]] = {}
    for part in map(str, location):
        if part in by_name:
            model, by_name, by_name_of_item = by_name[part], {}, {}
            continue
        names.append(part)
        if by_name_of_item and part.isdigit():  # of a list, whose items are chosen by their names
            by_name = by_name_of_item
            continue
        field = model.model_fields.get(part) if model else None
        by_name = sections_by_name(field) if field else {}
        by_name_of_item = item_sections_by_name(field) if field else {}
        model = section_of(field, None) if field else None
    return ".".join(names)
