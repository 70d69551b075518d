"""Paths and URLs in a recipe: `~` and `$VAR` in them are expanded, and their placeholders are known."""

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from string import Template
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from kcd_pipeline.errors import UserError
from kcd_stores import masked

# the keys that hold a path or a URL
PLACES = (
    *("data.root", "teacher.init", "teacher.weights", "store.path"),
    *("student.init", "condense.plans_from", "run.dir"),
)

PLACES_OF_TEACHER = ("init", "weights", "store")  # and each of `other_teachers`

OF_RUN = ("{student}", "{method}", "{variant}", "{seed}")
OF_ALL_METHODS = ("{student}", "{seed}")  # a teacher and a store serve the runs of every method
OF_STUDY = ("{name}",)
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def require_text(text: str) -> str:
    """Return `text`, a path or a name; ValueError if it is empty or a character of it cannot be printed."""
    if UNPRINTABLE.search(text):
        raise ValueError(f"{masked(text)!r} holds a character that cannot be printed")
    if not text.strip():
        raise ValueError("it is empty")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{masked(text)!r} cannot name a file here, where names are in {error.encoding}; set LC_ALL=C.UTF-8"
        ) from error
    return text


def _require_path(value: Any) -> Any:
    """Refuse a text that is no path, before an empty one becomes the current folder."""
    return require_text(value) if isinstance(value, str) else value


def _require_file(path: Path) -> Path:
    if path.name in ("", ".."):
        raise ValueError(f"{str(path)!r} is a folder, expected a file such as runs/teacher.safetensors")
    return path


def _require_known(place: Any, *, known: tuple[str, ...]) -> Any:
    unknown = [name for name in re.findall(r"{.*?}", str(place)) if name not in known]
    if unknown:
        raise ValueError(f"it holds {unknown[0]}, but what is filled in is {', '.join(known)}")
    return place


_of_run = AfterValidator(partial(_require_known, known=OF_RUN))
_of_all_methods = AfterValidator(partial(_require_known, known=OF_ALL_METHODS))

StudyFolder = Annotated[str, AfterValidator(require_text), AfterValidator(partial(_require_known, known=OF_STUDY))]
RunFolderPath = Annotated[Path, BeforeValidator(_require_path), _of_run]
SharedFolder = Annotated[Path, BeforeValidator(_require_path), _of_all_methods]
SharedFile = Annotated[SharedFolder, AfterValidator(_require_file)]
FolderOrUrl = Annotated[str, AfterValidator(require_text), _of_all_methods]


def fill_in(place: Path | str, names: Mapping[str, str]) -> str:
    """Return a path or URL with each `{name}` of `names` filled in."""
    return re.sub(r"{(\w+)}", lambda found: names.get(found[1], found[0]), str(place))


def expand_places(tree: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the keys of a recipe with `~` and `$VAR` expanded in every path and URL; `$$` is a dollar sign.

    Raises
    ------
    UserError
        If a variable is not set or is empty, or there is no such home folder.
    """
    expanded = dict(tree)
    for key in PLACES:
        section, name = key.split(".")
        keys = expanded.get(section)
        if isinstance(keys, Mapping) and isinstance(keys.get(name), str):
            expanded[section] = {**keys, name: expand(keys[name], key, source)}
    others = expanded.get("other_teachers")
    if isinstance(others, list | tuple):
        expanded["other_teachers"] = [_expand_teacher(other, number, source) for number, other in enumerate(others)]
    return expanded


def _expand_teacher(keys: Any, number: int, source: str) -> Any:
    """Return the keys of another teacher with `~` and `$VAR` expanded in its paths."""
    if not isinstance(keys, Mapping):
        return keys
    places = {name: keys[name] for name in PLACES_OF_TEACHER if isinstance(keys.get(name), str)}
    return {
        **keys,
        **{name: expand(text, f"other_teachers.{number}.{name}", source) for name, text in places.items()},
    }


def expand(text: str, key: str, source: str) -> str:
    """Return the path or URL that `source` has at `key`, with `~` and `$VAR` expanded.

    Raises
    ------
    UserError
        If a variable is not set or is empty, or there is no such home folder.
    """
    where = f"{source}: {key}: found '{masked(text)}'"
    template = Template(text)
    if not template.is_valid():
        raise UserError(f"{where}: what follows the $ is no name of a variable; write $$ for a dollar sign")
    for name in template.get_identifiers():
        if not os.environ.get(name):
            raise UserError(f"{where}, but the variable {name} is not set; set it, or write the path")
    text = template.substitute(os.environ)
    if not text.startswith("~"):
        return text
    whose = text.partition("/")[0]
    try:
        return f"{Path(whose).expanduser()}{text.removeprefix(whose)}"
    except RuntimeError as error:  # a container without a home folder, or no user of that name
        raise UserError(f"{where}, but there is no home folder {whose}; set HOME, or write the path") from error
