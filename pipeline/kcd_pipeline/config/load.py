"""From the name of a recipe or a YAML file, what it extends, and `--set key=value`, to a validated `Config`."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from kcd_pipeline.config.schema import Config
from kcd_pipeline.config.section import choices, section_of
from kcd_pipeline.errors import UserError

SUFFIXES = (".yaml", ".yml")
SECTIONS = set(Config.model_fields) - {"seed"}
EXTENDS = "extends"  # top-level key: the recipe that this one states its differences from
DEFAULTS = "defaults"  # a file of this name is no recipe, but what the recipes beside it extend


def recipes_folder() -> Path:
    """Where the shipped recipes are: inside the installed package, else `configs/` of the checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parents[1] / "configs"


def recipe_names() -> list[str]:
    """Names of the shipped recipes, such as `digits` or `cifar100/resnet32x4-resnet8x4`."""
    folder = recipes_folder()
    files = (file for file in folder.rglob("*.yaml") if file.stem != DEFAULTS)
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in files)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of `known`, or nothing when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def find_recipe(name: str) -> Path:
    """The YAML file that CONFIG names.

    Raises
    ------
    UserError
        If it is neither a file nor a shipped recipe.
    """
    path = Path(name)
    if path.suffix in SUFFIXES:
        if path.is_file():
            return path
        raise UserError(f"there is no config file {path} (in {Path.cwd()})")
    shipped = recipes_folder() / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    names = recipe_names()
    raise UserError(
        f"'{name}' is neither a YAML file nor a shipped recipe{nearest(name, names)} "
        f"(give a path that ends in .yaml, or one of: {', '.join(names)})"
    )


def load_config(name: str, overrides: Iterable[str] = ()) -> Config:
    """The config that CONFIG names, over what it extends, with each `section.key=value` of `overrides` put over both.

    Raises
    ------
    UserError
        If a file is not YAML of the right shape, extends what is not there or itself, a key is unknown or a value is
        out of bounds.
    """
    path = find_recipe(name)
    tree, bases = _read_recipe(path, ())
    source = ", which extends ".join(map(str, (path, *bases)))
    for override in overrides:
        _put(tree, override)
        source = f"{path} with --set"
    return parse_config(tree, source=source)


def parse_config(tree: Mapping[str, Any], *, source: str) -> Config:
    """Validate plain data as a `Config`; `source` is named in errors."""
    _refuse_unknown(tree, Config, "", source)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(_explain(error, source)) from error


def _read_recipe(path: Path, before: tuple[Path, ...]) -> tuple[dict[str, Any], list[Path]]:
    """The keys of a recipe over those of what it extends, and the files that it extends; `before` extend `path`."""
    tree = _read_yaml(path)
    base = tree.pop(EXTENDS, None)
    _refuse_unknown(tree, Config, "", str(path))  # before they are merged: the message names the file that has the key
    if base is None:
        return tree, []
    found = _find_base(base, path)
    chain = (*before, path)
    if found.resolve() in [file.resolve() for file in chain]:
        raise UserError(f"recipes extend each other in a circle: {' -> '.join(map(str, (*chain, found)))}. Break it.")
    below, bases = _read_recipe(found, chain)
    return _merged(below, tree), [found, *bases]


def _find_base(base: Any, path: Path) -> Path:
    """The file that `extends: base` in `path` means: relative to its folder, else a shipped recipe."""
    if not isinstance(base, str) or not base:
        raise UserError(f"{path}: '{EXTENDS}' takes the name of one recipe or file, found {base!r}")
    name = base if Path(base).suffix in SUFFIXES else f"{base}.yaml"
    for candidate in (path.parent / name, recipes_folder() / name):
        if candidate.is_file():
            return candidate
    raise UserError(
        f"{path} extends '{base}', but there is neither {path.parent / name} nor a shipped recipe of that name"
        f"{nearest(base, recipe_names())}"
    )


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, section by section; a value that is not a section replaces the one below it."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML's safe loader, which would take the last of two equal keys, refusing them as YAML itself does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, key in enumerate(keys):
            if key.value in [earlier.value for earlier in keys[:place]]:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' is there twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold sections such as `data:` and `teacher:`, found {type(tree).__name__}")
    return tree


def _put(tree: dict[str, Any], override: str) -> None:
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


def _refuse_unknown(tree: Mapping[str, Any], model: type[BaseModel], prefix: str, source: str) -> None:
    known = model.model_fields
    for key, value in tree.items():
        if key not in known:
            where = f"section '{prefix[:-1]}'" if prefix else "the top level"
            raise UserError(
                f"{source}: there is no key '{prefix}{key}'{nearest(str(key), known)} ({where} has: {', '.join(known)})"
            )
        section = section_of(known[key], value)
        if section is not None:
            if not isinstance(value, Mapping):
                raise UserError(f"{source}: '{prefix}{key}' is a section of keys, found {value!r}")
            _refuse_unknown(value, section, f"{prefix}{key}.", source)


def _explain(error: ValidationError, source: str) -> str:
    """Pydantic's findings, one sentence each, in our words."""
    lines = []
    for item in error.errors():
        key = _key(item["loc"])
        found = item.get("input")
        if item["type"] == "missing":
            how = "add the section to the file" if key in SECTIONS else f"set it in the file or with --set {key}=..."
            lines.append(f"{key} is missing: {how}")
        elif item["type"] == "literal_error":
            expected = item["ctx"]["expected"]
            known = [choice.strip(" '") for choice in expected.replace(" or ", ",").split(",")]
            lines.append(f"{key}: found {found!r}, expected one of {', '.join(known)}{nearest(str(found), known)}")
        elif item["type"] == "union_tag_invalid":
            tag, known = item["ctx"]["tag"], [name.strip(" '") for name in item["ctx"]["expected_tags"].split(",")]
            lines.append(f"{key}.name: found {tag!r}, expected one of {', '.join(known)}{nearest(tag, known)}")
        elif item["type"] == "value_error":
            lines.append(f"{key}: {item['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{key}: found {found!r}; {item['msg'][0].lower()}{item['msg'][1:]}")
    return f"{source}: " + "; ".join(lines)


def _key(place: tuple[int | str, ...]) -> str:
    """The dotted key of a place in pydantic's words, which name the chosen section of several as if it were a key."""
    names: list[str] = []
    model: type[BaseModel] | None = Config
    known: dict[str, type[BaseModel]] = {}
    for part in map(str, place):
        if part in known:
            model, known = known[part], {}
            continue
        names.append(part)
        field = model.model_fields.get(part) if model else None
        known = choices(field) if field else {}
        model = section_of(field, None) if field else None
    return ".".join(names)
