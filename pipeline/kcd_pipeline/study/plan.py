"""The plan of a study: its arms, the pairs that are compared, and the run of each arm with each seed."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kcd_pipeline.config import Config, Study, did_you_mean, only_teacher
from kcd_pipeline.config.study import Budget
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.study.arms import Arm, arm_config, make_arms, run_overrides
from kcd_pipeline.study.equal_rows import overrides_at_rows, require_stoppable

BASELINE = "kd"  # the arm with which the others are compared, if a study has it and names no pairs


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """The run of an arm with a seed.

    Attributes
    ----------
    arm
        Its arm.
    seed
        Its seed.
    base
        The base recipe, a shipped name or a file.
    overrides
        All overrides of the base.
    config
        The config that they come to.
    """

    arm: Arm
    seed: int
    base: str
    overrides: tuple[str, ...]
    config: Config

    def for_each_teacher(self) -> tuple["StudyRun", ...]:
        """Return the run as if each of its teachers were the only one: its overrides name that teacher alone."""
        if not self.config.other_teachers:
            return (self,)
        parts = self.config.each_teacher()
        return tuple(replace(self, overrides=(*self.overrides, only_teacher(part)), config=part) for part in parts)

    @property
    def name(self) -> str:
        """Words for messages, such as `kcd, seed 0`."""
        return f"{self.arm.name}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.config.run_dir

    @property
    def command(self) -> str:
        """The command that makes this run by itself, quoted for a shell."""
        settings = [word for override in self.overrides for word in ("--set", override)]
        return shlex.join(["kcd-pipeline", "distill", self.base, *settings])


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two arms that are compared, by name; `second` is the one that is subtracted."""

    first: str
    second: str
    budget: Budget


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study, resolved.

    Attributes
    ----------
    study
        The study file.
    arms
        All arms, in the order of the file; those that are stopped at the rows of another come last.
    pairs
        The pairs that are compared.
    runs
        The runs of all arms but those with `rows_of`, arm by arm.
    """

    study: Study
    arms: tuple[Arm, ...]
    pairs: tuple[Pair, ...]
    runs: tuple[StudyRun, ...]

    def resolve(self, arm: Arm, seed: int) -> StudyRun | None:
        """Return the run of an arm with a seed; None while the run to whose rows it is fitted is not finished.

        Raises
        ------
        DamagedError, StoreError
            If that run is damaged.
        """
        if arm.rows_of is None:
            return self._runs[arm.name, seed]
        counterpart = self._runs[arm.rows_of, seed]
        if not RunFolder(counterpart.folder).finished:
            return None
        config = arm_config(self.study, arm, seed)
        return _run(self.study, arm, seed, overrides_at_rows(config.distill, RunFolder(counterpart.folder)))

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @cached_property
    def _runs(self) -> Mapping[tuple[str, int], StudyRun]:
        return {(run.arm.name, run.seed): run for run in self.runs}


def plan_study(study: Study) -> StudyPlan:
    """Return the plan of a study, once the config of every arm has been resolved.

    Raises
    ------
    UserError
        If the overrides of an arm fit no recipe, two arms come to one config or one folder, or a pair names an arm that
        is not there or cannot be stopped at a number of rows.
    """
    named, configs = make_arms(study)
    runs = tuple(_run(study, arm, seed) for arm in named.values() for seed in study.seeds)
    _require_own_folders(study, runs)
    pairs, at_rows = _make_pairs(study, named, configs)
    return StudyPlan(study=study, arms=(*named.values(), *at_rows.values()), pairs=pairs, runs=runs)


def _run(study: Study, arm: Arm, seed: int, overrides: tuple[str, ...] = ()) -> StudyRun:
    return StudyRun(
        arm=arm,
        seed=seed,
        base=study.base,
        overrides=run_overrides(study, arm, seed, overrides),
        config=arm_config(study, arm, seed, overrides),
    )


def _require_own_folders(study: Study, runs: tuple[StudyRun, ...]) -> None:
    """Raise if two runs have one folder."""
    owners: dict[Path, StudyRun] = {}
    for run in runs:
        other = owners.setdefault(run.folder.absolute(), run)
        if other is run:
            continue
        same_arm = other.arm.name == run.arm.name
        who = f"seeds {other.seed} and {run.seed}" if same_arm else f"arms '{other.arm.name}' and '{run.arm.name}'"
        place = "{seed}" if same_arm else "{variant}"
        raise UserError(
            f"{study.path}: {who} would share the run folder {run.folder}, because run.dir of {study.base} lacks "
            f"{place}. Add it there, or under 'set' of the study, such as run.dir: "
            f"runs/{study.name}/{{student}}-{{variant}}-seed{{seed}}."
        )


def _make_pairs(
    study: Study, named: Mapping[str, Arm], configs: Mapping[str, Config]
) -> tuple[tuple[Pair, ...], dict[str, Arm]]:
    """Return the pairs of a study, and the arms by name that are made for them: those stopped at the rows of others."""
    pairs: list[Pair] = []
    at_rows: dict[str, Arm] = {}
    for first, second, budget in _asked_pairs(study, list(named)):
        for name in (first, second):
            if name not in named:
                raise UserError(
                    f"{study.path}: compare: there is no arm '{name}'{did_you_mean(name, named)} (the arms are: "
                    f"{'; '.join(named)})"
                )
        asked = Pair(first=first, second=second, budget=budget)
        if budget == "rows":
            asked = _pair_at_rows(study, asked, named, configs, at_rows)
        if asked in pairs:
            raise UserError(f"{study.path}: compare: the pair of '{first}' and '{second}' is there twice.")
        pairs.append(asked)
    return tuple(pairs), at_rows


def _asked_pairs(study: Study, names: list[str]) -> list[tuple[str, str, Budget]]:
    config = study.config
    if config.compare:
        return [(*pair.arms, pair.budget or config.budget) for pair in config.compare]
    against = BASELINE if BASELINE in names else names[0]
    return [(name, against, config.budget) for name in names if name != against]


def _pair_at_rows(
    study: Study, asked: Pair, named: Mapping[str, Arm], configs: Mapping[str, Config], at_rows: dict[str, Arm]
) -> Pair:
    """Return a pair whose second arm is stopped at the rows of its first; add that arm to `at_rows`.

    Where both are taught all samples of equally many epochs, they have equal rows as they are.
    """
    first, second = configs[asked.first], configs[asked.second]
    require_stoppable(study, asked.first, asked.second, first, second)
    if "kcd" not in (first.distill.method, second.distill.method) and _length(first) == _length(second):
        return Pair(first=asked.first, second=asked.second, budget="epochs")
    if "{variant}" not in str(second.run.dir):
        raise UserError(
            f"{study.path}: compare: '{asked.second}' at the rows of '{asked.first}' needs a run folder of its own, "
            f"but run.dir of {study.base} lacks {{variant}}. Add it there, or under 'set' of the study."
        )
    name = f"{asked.second} at the rows of {asked.first}"
    if name in named:
        raise UserError(f"{study.path}: vary: an arm is named '{name}', which a pair of equal rows makes. Rename it.")
    at_rows[name] = Arm(name=name, overrides=named[asked.second].overrides, rows_of=asked.first)
    return Pair(first=asked.first, second=name, budget="rows")


def _length(config: Config) -> tuple[int, int | None]:
    return config.distill.epochs, config.distill.rows
