"""Recipes by name: shipped ones, and YAML files of the user."""

import errno
from pathlib import Path

from kcd_pipeline.config.suggestions import did_you_mean
from kcd_pipeline.errors import UserError

SUFFIXES = (".yaml", ".yml")
DEFAULTS = "defaults"  # a file of this name is no recipe: the recipes beside it extend it
STUDIES = "studies"  # the folder of shipped studies, which are no recipes


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes: inside the installed package, or else `configs/` of the checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parents[1] / "configs"


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, such as `digits` or `cifar100/resnet32x4-resnet8x4`."""
    return [name for name in _shipped() if not name.startswith(f"{STUDIES}/")]


def study_names() -> list[str]:
    """Return the names of the shipped studies, such as `studies/claim`."""
    return [name for name in _shipped() if name.startswith(f"{STUDIES}/")]


def _shipped() -> list[str]:
    folder = recipes_folder()
    files = (file for file in folder.rglob("*.yaml") if file.stem != DEFAULTS)
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in files)


def find_recipe(name: str) -> Path:
    """Return the YAML file that `name` means: a path that ends in .yaml or .yml, or the name of a shipped recipe.

    Raises
    ------
    UserError
        If there is no such file or recipe.
    """
    path = Path(name)
    if path.suffix in SUFFIXES:
        return _require_file(path, "config")
    shipped = recipes_folder() / f"{name}.yaml"
    if _is_file(shipped):
        return shipped
    names = recipe_names()
    raise UserError(
        f"'{name}' is neither a YAML file nor a shipped recipe{did_you_mean(name, names)} "
        f"(give a path that ends in .yaml, or one of: {', '.join(names)})"
    )


def is_study(path: Path) -> bool:
    """Return True if `path` can only mean a study: it ends in .yaml or .yml, or is the name of a shipped one."""
    return path.suffix in SUFFIXES or (path.as_posix() in study_names() and not path.exists())


def find_study(name: str) -> Path:
    """Return the file of the study `name`: a path that ends in .yaml or .yml, or the name of a shipped study.

    Raises
    ------
    UserError
        If there is no such file or study.
    """
    path = Path(name)
    if path.suffix in SUFFIXES:
        return _require_file(path, "study")
    names = study_names()
    if name in names:
        return recipes_folder() / f"{name}.yaml"
    raise UserError(
        f"'{name}' is neither a YAML file nor a shipped study{did_you_mean(name, names)} (give a path that ends in "
        f".yaml, or one of: {', '.join(names)})"
    )


def find_base(name: str, study: Path) -> str:
    """Return the base recipe of a study file as `find_recipe` takes it: the name of a shipped one, or a path.

    A file is looked for in the folder of the study, then in the current folder, then among the shipped recipes.

    Raises
    ------
    UserError
        If there is no such recipe.
    """
    if Path(name).suffix not in SUFFIXES:
        names = recipe_names()
        if name in names:
            return name
        raise UserError(
            f"{study}: base: '{name}' is no shipped recipe{did_you_mean(name, names)} (give one of: "
            f"{', '.join(names)}; or a file, whose name ends in .yaml)"
        )
    candidates = (study.parent / name, Path(name), recipes_folder() / name)
    for candidate in candidates:
        if _is_file(candidate) and not candidate.samefile(study):
            return str(candidate)
    raise UserError(
        f"{study}: base: there is no file '{name}', neither in {study.parent} nor in {Path.cwd()}, nor a shipped "
        f"recipe of that name{did_you_mean(Path(name).stem, recipe_names())}"
    )


def find_extended(name: object, extending: Path) -> Path:
    """Return the file that `extends: name` means in the recipe `extending`.

    It is looked for in that recipe's folder, then among the shipped recipes.

    Raises
    ------
    UserError
        If `name` is not a name, or there is no such file.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"{extending}: 'extends' takes the name of one recipe or file, found {name!r}")
    file = name if Path(name).suffix in SUFFIXES else f"{name}.yaml"
    for candidate in (extending.parent / file, recipes_folder() / file):
        if _is_file(candidate):
            return candidate
    raise UserError(
        f"{extending} extends '{name}', but there is neither {extending.parent / file} nor a shipped recipe of that "
        f"name{did_you_mean(name, recipe_names())}"
    )


def _require_file(path: Path, kind: str) -> Path:
    """Return `path`, or raise UserError if there is no such file; `kind` is the word for it."""
    if not _is_file(path):
        raise UserError(f"there is no {kind} file {path} (in {Path.cwd()})")
    return path


def _is_file(path: Path) -> bool:
    """Return True for a file, and False for a name that no file can have."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False
