"""The reference page of every key of a recipe, made from the schema.

Run `python -m kcd_pipeline.config.reference > docs/reference/config.md` after a change of the schema.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from kcd_pipeline.config.schema import Config
from kcd_pipeline.config.section import item_sections_by_name, section_of, sections_by_name

HEAD = """# Every key of a recipe

This page is made from the schema by `python -m kcd_pipeline.config.reference`.

**On the command line.** Any key can be set: `--set section.key=value`, as often as needed. The value is read as YAML,
and a mapping is merged: `--set "distill={epochs: 2, lr: 0.1}"` leaves the rest of the section as it is. Two mappings
are not merged: another loss replaces the one before with all its keys, and `--set student.arguments={}` empties them.

**Numbers** are read as people write them: `010` is ten, `5e-4` and `1_000` are numbers, `0x1f` and `0o17` are
hexadecimal and octal; `1:30` and dates are texts. Every number has the bounds that its row gives.

**Paths.** `~` and `$VAR` (or `${VAR}`) are filled in, and a variable that is not set is refused; `$$` is a dollar sign.
Relative paths are relative to the folder where the command runs. Placeholders are filled in too: `{student}` and
`{seed}` in every path, and in `run.dir` and `condense.plans_from` also `{method}` and `{variant}`. `{variant}` is the
method, the words of its ablation, and whatever the config changes of the recipe that states `run.dir`, as in
`kcd-drop-only-epochs=12`, so that the runs of a sweep do not share a folder. Keys that may change while a run
goes on (where things are, and the resources of the machine) are not part of it.

**Secrets** of a URL are masked in every file that is written and in every message.

A recipe has at most 100,000 bytes, 10,000 values and 32 levels. YAML's tags (`!!int`) are refused.
"""
COLUMNS = "| key | default | takes | meaning |\n| --- | --- | --- | --- |"


def reference() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, *_table("(top level)", "", Config, "A recipe.")]
    for name, field in Config.model_fields.items():
        section = section_of(field, None)
        if section is not None:
            parts += _table(f"`{name}`", f"{name}.", section, section.__doc__ or "")
            for key, child in section.model_fields.items():
                if sections_by_name(child):
                    parts += _table_of_choices(f"{name}.{key}", sections_by_name(child))
                if (optional := section_of(child, {})) is not None and child.default is None:
                    parts += _table(f"`{name}.{key}`", f"{name}.{key}.", optional, optional.__doc__ or "")
                if item_sections_by_name(child):
                    parts += _table_of_items(f"{name}.{key}", item_sections_by_name(child))
    return "\n".join(parts)


def _table(title: str, prefix: str, section: type[BaseModel], purpose: str) -> Iterator[str]:
    yield f"\n## {title}\n\n{purpose}\n\n{COLUMNS}"
    yield from _rows(prefix, section)


def _table_of_choices(key: str, sections: dict[str, type[BaseModel]]) -> Iterator[str]:
    """Yield the table of a section that is chosen among several by its name."""
    yield f"\n## `{key}`\n\nChosen by its name; each has keys of its own.\n\n{COLUMNS}"
    names = ", ".join(f"`{name}`" for name in sections)
    yield f"| `{key}.name` | `{next(iter(sections))}` | {names} | the one that is chosen |"
    for section in sections.values():
        yield from _rows(f"{key}.", section)


def _table_of_items(key: str, sections: dict[str, type[BaseModel]]) -> Iterator[str]:
    """Yield the table of the items of a list, each chosen among several by its name."""
    first = next(iter(sections))
    yield (
        f"\n## `{key}`\n\nEach item is chosen by its `name`: {', '.join(f'`{name}`' for name in sections)}. "
        f"`{first}.KEY` is the key of an item `{{name: {first}, KEY: ...}}`.\n\n{COLUMNS}"
    )
    for name, section in sections.items():
        yield from _rows(f"{name}.", section)


def _rows(prefix: str, section: type[BaseModel]) -> Iterator[str]:
    schema = section.model_json_schema()["properties"]
    for name, field in section.model_fields.items():
        if not field.description:  # a section, which has a table of its own
            continue
        default = "required" if field.default is PydanticUndefined else f"`{_as_yaml(field.default)}`"
        yield f"| `{prefix}{name}` | {default} | {_accepted(schema[name])} | {field.description} |"


def _as_yaml(value: Any) -> str:
    """Return a default as it would be written in a recipe."""
    if isinstance(value, tuple):
        return f"[{', '.join(_as_yaml(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 1e4 else f"{value:.4g}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value.as_posix() if isinstance(value, Path) else str(value)


def _accepted(schema: dict[str, Any]) -> str:
    """Return the type and the bounds of a value, from its JSON schema."""
    if "$ref" in schema:  # to a section, which has a table of its own
        return "mapping"
    if "anyOf" in schema:
        return " or ".join(_accepted(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema["items"]]
        return f"list of {len(items) if 'prefixItems' in schema else 'any number of'} × {_accepted(items[0])}"
    kind = {"object": "mapping"}.get(name := schema.get("format", schema.get("type", "any")), name)
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {_bound(schema[name])}" for name, sign in signs.items() if name in schema]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _bound(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() and abs(number) < 1e10 else f"{number:.4g}"


if __name__ == "__main__":
    print(reference())
