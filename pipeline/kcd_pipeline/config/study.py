"""The keys of a study file, and how one is found, read and validated.

A study asks a question of one base recipe: its arms are sets of overrides, each trained with every seed, and its pairs
are the arms that are compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from kcd_pipeline.config.explain import explain, require_known_keys, shown
from kcd_pipeline.config.load import EXTENDS, Recipe
from kcd_pipeline.config.merge import override_of
from kcd_pipeline.config.places import StudyFolder, expand, fill_in, require_text
from kcd_pipeline.config.recipes import find_base, find_study
from kcd_pipeline.config.schema import Config
from kcd_pipeline.config.section import Section, Seed
from kcd_pipeline.config.yaml_files import read_yaml
from kcd_pipeline.errors import UserError

MANY_SEEDS = 1000
LONGEST_NAME = 80  # characters of the name of an arm: it is that of a log file, too

Budget = Literal["epochs", "rows"]


def _as_overrides(value: Any) -> Any:
    """Return overrides as texts `section.key=value`, from a mapping of keys to values or a list of such texts."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return tuple(override_of(_text(key, "a key"), item) for key, item in value.items())
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ValueError(
        f"expected keys and values such as {{distill.epochs: 30}}, or a list of texts such as ['distill.epochs=30'], "
        f"found {shown(value)}"
    )


def _require_no_seed(overrides: tuple[str, ...]) -> tuple[str, ...]:
    for override in overrides:
        if override.partition("=")[0].strip() == "seed":
            raise ValueError("it sets seed, but the seeds of a study are those of its key 'seeds'")
    return overrides


def _as_seeds(value: Any) -> Any:
    """Return seeds as a list: a number n stands for 0 to n - 1."""
    if isinstance(value, bool) or not isinstance(value, int | list | tuple):
        raise ValueError(f"expected a number of seeds such as 5, or a list of them, found {shown(value)}")
    if isinstance(value, int) and not 1 <= value <= MANY_SEEDS:
        raise ValueError(f"found {value}, expected 1 to {MANY_SEEDS} seeds")
    return tuple(range(value)) if isinstance(value, int) else value


def _require_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ValueError(f"seed {twice[0]} is there twice")
    if not 1 <= len(seeds) <= MANY_SEEDS:
        raise ValueError(f"found {len(seeds)} seeds, expected 1 to {MANY_SEEDS}")
    return seeds


def _text(name: Any, kind: str) -> str:
    if not isinstance(name, str):  # such as the word off, which YAML takes for a truth value
        raise ValueError(f"{kind} must be text, found {shown(name)}; put it in quotes")
    return name


def _with_names(value: Any) -> Any:
    """Return a mapping as it is, once each key in it is known to be the name of an arm."""
    if isinstance(value, Mapping):
        for name in value:
            require_text(_text(name, "the name of an arm"))
            if len(name) > LONGEST_NAME:
                raise ValueError(f"the name {shown(name)} has {len(name)} characters, expected at most {LONGEST_NAME}")
    return value


def _as_axis(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _with_names(value)
    if not isinstance(value, list):
        raise ValueError(f"expected a list of values, or named sets of overrides, found {shown(value)}")
    return value


def _require_axis(axis: Any) -> Any:
    if not axis:
        raise ValueError("it has no values")
    if isinstance(axis, tuple):
        twice = [value for index, value in enumerate(axis) if value in axis[:index]]
        if twice:
            raise ValueError(f"the value {shown(twice[0])} is there twice")
    return axis


Overrides = Annotated[tuple[str, ...], BeforeValidator(_as_overrides), AfterValidator(_require_no_seed)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_as_seeds), AfterValidator(_require_seeds)]
NamedOverrides = Annotated[dict[str, Overrides], BeforeValidator(_with_names)]
Axis = Annotated[
    Annotated[dict[str, Overrides], Field()] | tuple[Any, ...], BeforeValidator(_as_axis), AfterValidator(_require_axis)
]


def _as_pair(value: Any) -> Any:
    return {"arms": value} if isinstance(value, list) else value


class PairConfig(Section):
    """Two arms to be compared: the difference is that of the first from the second."""

    arms: tuple[str, str] = Field(description="names of the two arms: the first minus the second is what is stated")
    budget: Budget | None = Field(
        default=None,
        description="epochs: both as they are; rows: the second, by method none or kd, is stopped at the number of "
        "rows that the first was taught; null: as the study says",
    )

    @model_validator(mode="after")
    def _require_two(self) -> "PairConfig":
        if self.arms[0] == self.arms[1]:
            raise ValueError(f"arm '{self.arms[0]}' cannot be compared with itself")
        return self


class VaryConfig(Section):
    """The arms of a study, each a set of overrides of its base."""

    arms: NamedOverrides = Field(default={}, description="arms by name; {} is the base itself")
    grid: dict[str, Axis] = Field(
        default={},
        description="every combination of the values of its axes; an axis is a key of a recipe with a list of values, "
        "or a name with named sets of overrides",
    )

    @model_validator(mode="after")
    def _require_any(self) -> "VaryConfig":
        if not self.arms and not self.grid:
            raise ValueError("it has no arms: give some by name under 'arms', or as a 'grid'")
        return self


class StudyConfig(Section):
    """A study file."""

    title: str = Field(default="", description="the question, which heads the report; empty: the name of the file")
    base: str = Field(description="a shipped recipe, or a file: looked for beside the study, then in this folder")
    set: Overrides = Field(default=(), description="overrides of the base in every arm")
    seeds: Seeds = Field(default=(0, 1, 2, 3, 4), description="how many seeds, from 0, or a list of them")
    vary: VaryConfig
    budget: Budget = Field(default="epochs", description="of the pairs that name none")
    compare: tuple[Annotated[PairConfig, BeforeValidator(_as_pair)], ...] = Field(
        default=(), description="pairs of arms; empty: every arm against the arm `kd`, or else against the first"
    )
    dir: StudyFolder = Field(
        default="runs/studies/{name}",
        description="folder of the study's results, report and logs; {name} is the name of the file",
    )


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study file that has been read.

    Attributes
    ----------
    path
        The file.
    base
        Its base recipe as commands take it: a shipped name, or the path of a file.
    recipe
        That recipe, read.
    overrides
        Overrides of the base in every arm.
    last_overrides
        Overrides that the command was given, which count more than those of an arm.
    folder
        The folder of the study's own files.
    config
        The keys of the file.
    """

    path: Path
    base: str
    recipe: Recipe
    overrides: tuple[str, ...]
    last_overrides: tuple[str, ...]
    folder: Path
    config: StudyConfig

    @property
    def name(self) -> str:
        """Name of the file, without its suffix."""
        return self.path.stem

    @property
    def title(self) -> str:
        """The question, or the name of the file if it states none."""
        return self.config.title or self.name

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds with which every arm is trained."""
        return self.config.seeds


def load_study(name: str | Path, overrides: Iterable[str] = ()) -> Study:
    """Return the study of a YAML file, or of the name of a shipped one such as `studies/claim`.

    Parameters
    ----------
    name
        The file, or the name.
    overrides
        Texts of the form `section.key=value`, put over those of every arm.

    Raises
    ------
    UserError
        If there is no such file, it is not YAML of the right shape, a key of it is unknown or its value is out of
        bounds, or the base is not found or is no recipe.
    """
    path = find_study(str(name))
    tree = read_yaml(path)
    if "vary" not in tree and tree.keys() & {EXTENDS, *Config.model_fields}:
        raise UserError(
            f"{path} is a recipe, not a study. A study names a recipe as its 'base' and states under 'vary' what its "
            f"arms change of it; see docs/how-to/studies.md."
        )
    require_known_keys(tree, str(path), StudyConfig)
    try:
        config = StudyConfig.model_validate(tree)
        last = _require_no_seed(tuple(overrides))
    except ValidationError as error:
        raise UserError(explain(error, str(path), StudyConfig)) from error
    except ValueError as error:
        raise UserError(f"--set: {error}") from error
    base = find_base(config.base, path)
    folder = fill_in(expand(config.dir, "dir", str(path)), {"name": path.stem})
    return Study(
        path=path,
        base=base,
        recipe=Recipe(base),
        overrides=config.set,
        last_overrides=last,
        folder=Path(folder),
        config=config,
    )
