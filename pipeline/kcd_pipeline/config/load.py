"""A validated `Config` from a recipe, the recipes that it extends, and `--set section.key=value`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kcd_pipeline.config.earlier import in_todays_words
from kcd_pipeline.config.explain import explain, require_known_keys
from kcd_pipeline.config.merge import merge, merge_override
from kcd_pipeline.config.models import OptimisationConfig
from kcd_pipeline.config.places import expand_places
from kcd_pipeline.config.recipes import find_extended, find_recipe
from kcd_pipeline.config.schema import Config
from kcd_pipeline.config.section import section_of
from kcd_pipeline.config.several_teachers import with_first_teacher, with_shared_training
from kcd_pipeline.config.variants import change_words
from kcd_pipeline.config.yaml_files import read_yaml
from kcd_pipeline.errors import UserError

EXTENDS = "extends"  # top-level key: the recipe from which this one states its differences

OF_STUDIES = "vary"  # top-level key that every study has and no recipe

LONGEST_CHAIN = 20

TRAINING_KEYS = frozenset(OptimisationConfig.model_fields)  # of a teacher: another one has them from the first


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """The keys of a recipe, over what it extends.

    Attributes
    ----------
    tree
        All keys.
    extends
        The files that it extends, nearest first.
    with_folder
        The keys of the recipe in the chain that states run.dir, over what that one extends: what differs from them
        needs a folder of its own. None if no recipe of the chain states it.
    """

    tree: dict[str, Any]
    extends: tuple[Path, ...]
    with_folder: dict[str, Any] | None


class Recipe:
    """A recipe that has been read, with what it extends; it gives a config for each set of overrides.

    Parameters
    ----------
    name
        A YAML file, or the name of a shipped recipe.

    Raises
    ------
    UserError
        If there is no such recipe, a file is not YAML of the right shape, it extends a recipe that is missing or
        itself, or a key is unknown.
    """

    def __init__(self, name: str) -> None:
        path = find_recipe(name)
        self._source, self._keys = str(path), _read_keys(path, ())

    @classmethod
    def of_keys(cls, tree: Mapping[str, Any], *, source: str) -> "Recipe":
        """Return the recipe of keys that a caller has, which may extend another; messages call it `source`."""
        recipe = cls.__new__(cls)
        recipe._source, recipe._keys = source, _keys_of(dict(tree), Path(source), ())
        return recipe

    def config(self, overrides: Iterable[str] = (), recorded: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
        """Return the config of the recipe with `overrides` put over it.

        In paths `~`, `$VAR` and the placeholders are filled in. `{variant}` in run.dir is left, followed by what the
        config changes of the recipe that states run.dir.

        Parameters
        ----------
        overrides
            Texts of the form `section.key=value`; of two that set the same key, the last one counts.
        recorded
            By section, the keys that record what a caller passed as an object; they replace those of the recipe.

        Raises
        ------
        UserError
            If a key is unknown, a value is out of bounds, or a variable in a path is not set.
        """
        keys = self._keys
        tree, source = keys.tree, ", which extends ".join((self._source, *map(str, keys.extends)))
        for override in overrides:
            tree = merge_override(tree, override)
            source = f"{self._source} with --set"
        for section, values in (recorded or {}).items():
            tree = {**tree, section: {**tree.get(section, {}), **values}}
        config = parse_config(expand_places(tree, source), source=source)
        named = keys.tree if keys.with_folder is None else keys.with_folder
        return _set_apart(config, _alone(named, tree, source)).with_places_filled_in()


def load_config(name: str, overrides: Iterable[str] = ()) -> Config:
    """Return the config of the recipe `name` with `overrides` put over it; see `Recipe`.

    Raises
    ------
    UserError
        If there is no such recipe, or it does not come to a config with these overrides.
    """
    return Recipe(name).config(overrides)


def parse_config(tree: Mapping[str, Any], *, source: str) -> Config:
    """Validate plain data as a `Config`; errors name `source`.

    Raises
    ------
    UserError
        If a key is unknown or missing, or a value is out of bounds.
    """
    tree = with_first_teacher(tree, source)
    require_known_keys(tree, source)
    try:
        return Config.model_validate(in_todays_words(with_shared_training(tree, TRAINING_KEYS)))
    except ValidationError as error:
        raise UserError(explain(error, source)) from error


def _set_apart(config: Config, recipe: Config | None) -> Config:
    """Return the config with what it changes of its recipe after `{variant}` in run.dir, so that no two runs collide.

    Without a recipe to compare with, all of the config counts as a change.
    """
    before = {} if recipe is None else recipe.plain()
    loss = config.distill.loss
    if recipe is not None and recipe.distill.loss.name != loss.name:  # whose keys are those of another loss
        before["distill"]["loss"] = {**type(loss)(name=loss.name).model_dump(), "name": recipe.distill.loss.name}
    words = change_words(config.plain(), before, folder=str(config.run.dir))
    folder = Path(str(config.run.dir).replace("{variant}", "-".join(["{variant}", *words])))
    return config.model_copy(update={"run": config.run.model_copy(update={"dir": folder})})


def _alone(recipe: Mapping[str, Any], tree: Mapping[str, Any], source: str) -> Config | None:
    """Return the config of a recipe without `--set`, except for required keys that it lacks, which are those of `tree`.

    None if `--set` mends it, so that there is no such config.
    """
    required = {
        name: {key: tree[name][key] for key, value in section.model_fields.items() if value.is_required()}
        for name, field in Config.model_fields.items()
        if (section := section_of(field, None)) is not None and field.is_required()
    }
    try:
        return parse_config(expand_places(merge(required, recipe), source), source=source)
    except UserError:
        return None


def _read_keys(path: Path, extending: tuple[Path, ...]) -> _Keys:
    """Read a recipe and what it extends; `extending` are the recipes that led here, each of which extends the next."""
    return _keys_of(read_yaml(path), path, extending)


def _keys_of(tree: dict[str, Any], path: Path, extending: tuple[Path, ...]) -> _Keys:
    """Return the keys `tree` of the recipe `path` over what it extends."""
    if OF_STUDIES in tree:
        raise UserError(f"{path} is a study, not a recipe. Run it with `kcd-pipeline study {path}`.")
    base = tree.pop(EXTENDS, None)
    tree = with_first_teacher(tree, str(path)) if base is None else tree
    require_known_keys(
        with_first_teacher(tree, str(path)), str(path)
    )  # before recipes are merged, so that the message names the file of the key
    states_folder = "dir" in tree.get("run", {})
    if base is None:
        return _Keys(tree=tree, extends=(), with_folder=tree if states_folder else None)
    found = find_extended(base, path)
    chain = (*extending, path)
    if found.resolve() in [file.resolve() for file in chain]:
        raise UserError(f"recipes extend each other in a circle: {' -> '.join(map(str, (*chain, found)))}. Break it.")
    if len(chain) == LONGEST_CHAIN:
        raise UserError(
            f"{path} extends {found}, but a chain of recipes has at most {LONGEST_CHAIN}. Join some of them."
        )
    below = _read_keys(found, chain)
    merged = merge(below.tree, tree)
    return _Keys(
        tree=merged, extends=(found, *below.extends), with_folder=merged if states_folder else below.with_folder
    )
