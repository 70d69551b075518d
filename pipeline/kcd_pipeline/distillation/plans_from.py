"""Plans taken from another run instead of being computed: a condensed set that one student found teaches another."""

import hashlib

import numpy as np

from kcd_pipeline.condensation import stage_count
from kcd_pipeline.config import CondenseConfig, Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder, read_condensing_config
from kcd_stores import NO_PARTNER, Plan, PlanStore


class PlansFromRun:
    """The plans of every stage of this run, as another run made them; `digest` changes with their content."""

    def __init__(self, plans: list[Plan], *, perturbed: bool) -> None:
        self._plans = plans if perturbed else [_as_stored(plan) for plan in plans]
        self.digest = hashlib.sha256("".join(plan.digest for plan in self._plans).encode()).hexdigest()

    def plan(self, stage: int) -> Plan:
        """What `stage` is taught."""
        return self._plans[stage]


def open_plans_from(config: Config, dataset: Dataset) -> PlansFromRun | None:
    """The plans that `condense.plans_from` names, checked against this run; None where it names none.

    Raises
    ------
    UserError
        If there is no such run, it did not condense, it was of other data, or its stages are not this run's.
    """
    source = config.plans_from
    if source is None or config.distill.method != "kcd":
        return None
    if source.resolve() == config.run_dir.resolve():
        raise UserError(f"condense.plans_from is this run's own folder, {source}. Give the run whose plans to take.")
    folder = RunFolder(source)
    read_condensing_config(folder, asked_by="condense.plans_from")
    _require_same_data(folder, dataset)
    plans = _stages(folder, config.condense, config.distill.epochs, len(dataset.train))
    return PlansFromRun(plans, perturbed=config.condense.perturb != "off")


def _require_same_data(folder: RunFolder, dataset: Dataset) -> None:
    found, expected = folder.read_origin().get("dataset"), dataset.description["fingerprint"]
    if found != expected:
        raise UserError(
            f"condense.plans_from: {folder.path} condensed other data than this run trains on: its training set has "
            f"fingerprint {str(found)[:12]}, this one {expected[:12]} ({dataset.name}, {len(dataset.train):,} "
            f"samples). Samples would be taken for others: give a run on the same data."
        )


def _stages(folder: RunFolder, condense: CondenseConfig, epochs: int, samples: int) -> list[Plan]:
    """The plans of every stage that a run of `epochs` epochs has."""
    store, interval = PlanStore(folder.plans), condense.interval
    found = {stage: store.read(stage) for stage in store.stages()}
    wanted = {stage: stage * interval for stage in range(stage_count(epochs, interval))}
    opens = {stage: plan.epoch for stage, plan in found.items() if stage in wanted}
    if opens != wanted:
        raise UserError(
            f"condense.plans_from: the stages of {folder.path} open at epochs {_listed(opens)}, those of this run at "
            f"{_listed(wanted)}. Give a run that has condensed as often, or set distill.epochs and condense.interval "
            f"to match it."
        )
    for stage, plan in found.items():
        if plan.samples != samples:
            raise UserError(
                f"condense.plans_from: the plan of stage {stage} at {store.path} is of {plan.samples:,} samples, but "
                f"the training set has {samples:,}: the folder was changed after the run. Restore it from a copy."
            )
    return [found[stage] for stage in wanted]


def _listed(opens: dict[int, int]) -> str:
    return ", ".join(str(epoch + 1) for epoch in opens.values())


def _as_stored(plan: Plan) -> Plan:
    """The same samples, none of them perturbed."""
    size = len(plan.kept)
    return Plan(
        stage=plan.stage,
        epoch=plan.epoch,
        samples=plan.samples,
        kept=plan.kept,
        partner=np.full(size, NO_PARTNER),
        epsilon=np.zeros(size, np.float32),
        facts=plan.facts,
    )
