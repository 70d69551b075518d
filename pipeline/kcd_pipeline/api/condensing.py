"""Condensation from Python: the plan that the values of a run lead to, without any training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.api.passed import loaded_dataset
from kcd_pipeline.api.recipes import Overrides, RecipeLike, load_config, override_texts
from kcd_pipeline.api.runs import Place, Run, open_run
from kcd_pipeline.condensation import condense as condense_values
from kcd_pipeline.condensation import stage_openings
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.errors import UserError
from kcd_pipeline.export import Export, export_condensed
from kcd_pipeline.own_parts import is_own_part
from kcd_pipeline.runs import RunFolder, open_plans, open_values
from kcd_stores import NO_PARTNER, Plan, ValueStore, keep_all


@dataclass(frozen=True, kw_only=True, eq=False)
class Condensation:
    """The condensed set of one stage: which samples are taught, and what is blended into them.

    Attributes
    ----------
    run
        The run whose values it was made from.
    plan
        Samples kept, partners, strengths and weights.
    config
        The settings that it was made by.
    """

    run: Run
    plan: Plan = field(repr=False)
    config: Config = field(repr=False)

    @property
    def stage(self) -> int:
        """The stage, counted from 1 as `inspect` counts them."""
        return self.plan.stage + 1

    @property
    def kept(self) -> NDArray[np.int64]:
        """`[K]` int64, ascending: the samples that are taught."""
        return self.plan.kept

    @property
    def dropped(self) -> NDArray[np.int64]:
        """`[N - K]` int64, ascending: the samples that are not taught."""
        return np.setdiff1d(np.arange(self.plan.samples), self.plan.kept)

    @property
    def perturbed(self) -> NDArray[np.int64]:
        """`[L]` int64, ascending: those of `kept` that another sample is blended into."""
        return self.plan.kept[self.plan.partner != NO_PARTNER]

    def export(
        self, to: Place, *, encoding: str = "float16", source: Place | None = None, overwrite: bool = False
    ) -> Export:
        """Write the rows that the stage was taught as a store of its own, as `kcd-pipeline condense` does.

        Parameters
        ----------
        to
            Where the store goes: a folder or a URL.
        encoding
            How logits are stored.
        source
            The store that the run was taught from, if it has moved.
        overwrite
            Replace a store that is there.

        Raises
        ------
        UserError, StoreError
            If the run was not taught this plan, or its store is not there.
        """
        plans = open_plans(RunFolder(self.run.path))
        if self.plan.stage not in plans.stages() or plans.read(self.plan.stage).digest != self.plan.digest:
            raise UserError(
                f"{self.run.path} was not taught this plan, so there are no rows of it to export. Train a student by "
                f"these settings first: kcd_pipeline.distill with method kcd."
            )
        return export_condensed(
            self.run.path,
            str(to),
            stage=self.stage,
            encoding=encoding,
            source=None if source is None else str(source),
            overwrite=overwrite,
        )

    def __repr__(self) -> str:
        plan = self.plan
        return (
            f"Condensation({str(self.run.path)!r}: stage {self.stage} keeps {len(plan.kept):,} of {plan.samples:,} "
            f"samples, {len(self.perturbed):,} of them perturbed)"
        )


def condense(
    run: Run | RecipeLike, *, overrides: Overrides = (), stage: int | None = None, dataset: Any = None
) -> Condensation:
    """Return the condensed set that the values of a run lead to, without training anything.

    It is the E-step of "Knowledge Condensation Distillation" (ECCV 2022) on values that a run has recorded, of any
    method: each stage is condensed in turn, from all samples on, by the values after the last epoch before it. By the
    run's own settings, the plan is the one that a run of method kcd was taught; by others, such as
    `{"condense.keep_ratio": 0.5}`, the one that the same values would have led to.

    Parameters
    ----------
    run
        A run, or its folder; or a recipe (a `Config`, a mapping, a name or a YAML file), for the run that it makes.
    overrides
        Changes of the settings of the run, such as `{"condense.policy": "rs2"}`.
    stage
        Which stage, from 2, for the first one is taught all samples; the last one that the values suffice for if it is
        not given.
    dataset
        The images that the run was trained on, if they were passed as an object; see `train_teacher`. Only their labels
        are looked at, where `condense.balance` or a policy of the user's own needs them.

    Raises
    ------
    UserError
        If there is no such run or stage, or the run alone names a part of the user's own: nothing is imported that only
        a run names. Name it in `overrides`, or pass the recipe.
    """
    found, config = _run_and_config(run, overrides, dataset)
    values = open_values(RunFolder(found.path))
    openings = stage_openings(config.distill.epochs, config.condense)
    last = _last_stage(found, openings, len(found.metrics))
    chosen = last if stage is None else stage - 1
    if not 1 <= chosen <= last:
        raise UserError(f"stage: found {stage}, but the values of {found.path} suffice for stages 2 to {last + 1}.")
    labels = _labels(config, dataset, values.samples) if _needs_labels(config) else None
    return Condensation(run=found, plan=_chained(values, chosen, config, labels), config=config)


def _run_and_config(run: Run | RecipeLike, overrides: Overrides, dataset: Any) -> tuple[Run, Config]:
    """Return a run and the settings to condense it by."""
    if not isinstance(run, Run) and not _is_run_folder(run):
        config = load_config(run, overrides)
        return open_run(config.run_dir), config
    found, changes = open_run(run), override_texts(overrides)  # type: ignore[arg-type]  # a path, as was seen
    config = load_config(parse_config(found.config, source=f"{found.path}/config.yaml"), changes)
    called = {"condense.policy": config.condense.policy}
    if _needs_labels(config) and dataset is None:
        called["data.name"] = config.data.name
    for key, name in called.items():
        if is_own_part(name) and not any(change.startswith(f"{key}=") for change in changes):
            raise UserError(
                f"{found.path} has {name} as {key}, and nothing is imported that only a run names. If you trust it, "
                f"name it yourself: overrides={{'{key}': '{name}'}}, or pass the recipe in the place of the run."
            )
    return found, config


def _is_run_folder(run: RecipeLike) -> bool:
    return isinstance(run, str | Path) and ("://" in str(run) or RunFolder(Path(run)).exists)


def _last_stage(run: Run, openings: tuple[int, ...], done: int) -> int:
    """Return the last stage (0-based) that opens when `done` epochs have values; raise UserError if it is the first."""
    last = sum(opening <= done for opening in openings) - 1
    if last < 1 and len(openings) == 1:
        raise UserError(
            f"{run.path} has one stage, as condense.interval leaves no other. Set it lower, such as "
            f"overrides={{'condense.interval': 1}}."
        )
    if last < 1:
        raise UserError(
            f"{run.path} has values of {done} epochs, and the first condensation needs those of {openings[1]}. Go on "
            f"with the run, or set condense.interval lower."
        )
    return last


def _needs_labels(config: Config) -> bool:
    return config.condense.balance == "class" or is_own_part(config.condense.policy)


def _labels(config: Config, dataset: Any, samples: int) -> NDArray[np.int64]:
    """Return the labels `[N]` of the training set."""
    labels: NDArray[np.int64] = loaded_dataset(dataset, config).train.labels.numpy()
    if len(labels) != samples:
        raise UserError(
            f"the run has values of {samples:,} samples, but the data set has {len(labels):,}, so their classes are "
            f"not known. Take a run that was taught all samples, or condense.balance: none."
        )
    return labels


def _chained(values: ValueStore, stage: int, config: Config, labels: NDArray[np.int64] | None) -> Plan:
    """Return the plan of `stage`, after those of all stages before it."""
    plan = keep_all(values.samples)
    for number in range(1, stage + 1):
        plan = condense_values(
            values,
            before=plan,
            stage=number,
            epochs=config.distill.epochs,
            config=config.condense,
            seed=config.seed,
            labels=labels,
        )
    return plan
