"""Plans of another run, followed instead of being computed: a condensed set found by one student teaches another."""

import hashlib
from dataclasses import replace

import numpy as np

from kcd_pipeline.condensation import stage_openings
from kcd_pipeline.config import CondenseConfig, Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder, open_plans, read_condensing_config
from kcd_stores import NO_PARTNER, Plan


class PlansFromRun:
    """Plans of another run, one for each stage of this one.

    Parameters
    ----------
    perturbed
        True to keep their perturbations; False to teach the same samples as they are stored.

    Attributes
    ----------
    digest
        Changes with the content of the plans.
    """

    def __init__(self, plans: list[Plan], *, perturbed: bool) -> None:
        self._plans = plans if perturbed else [_unperturbed(plan) for plan in plans]
        self.digest = hashlib.sha256("".join(plan.digest for plan in self._plans).encode()).hexdigest()

    def plan(self, stage: int) -> Plan:
        """Return the plan of `stage` (0-based)."""
        return self._plans[stage]


def open_plans_from(config: Config, dataset: Dataset) -> PlansFromRun | None:
    """Read the plans of the run that `condense.plans_from` names; return None if it names none.

    Raises
    ------
    UserError
        If there is no such run, it did not condense, or its data or its stages are not those of this run.
    """
    source = config.plans_from
    if source is None or config.distill.method != "kcd":
        return None
    if source.resolve() == config.run_dir.resolve():
        raise UserError(f"condense.plans_from is this run's own folder, {source}. Name the run whose plans to follow.")
    folder = RunFolder(source)
    read_condensing_config(folder, asked_by="condense.plans_from")
    _require_same_data(folder, dataset)
    plans = _plans_of_stages(folder, config.condense, config.distill.epochs, len(dataset.train))
    return PlansFromRun(plans, perturbed=config.condense.perturb != "off")


def _require_same_data(folder: RunFolder, dataset: Dataset) -> None:
    found, expected = folder.read_origin().get("dataset"), dataset.description["fingerprint"]
    if found != expected:
        raise UserError(
            f"condense.plans_from: {folder.path} condensed other data than this run trains on: its training set has "
            f"fingerprint {str(found)[:12]}, this one {expected[:12]} ({dataset.name}, {len(dataset.train):,} "
            f"samples). Its plans would pick the wrong samples. Name a run on the same data."
        )


def _plans_of_stages(folder: RunFolder, condense: CondenseConfig, epochs: int, samples: int) -> list[Plan]:
    """Read a plan for every stage of a run of `epochs` epochs on `samples` samples.

    Raises
    ------
    UserError
        If the stages open at other epochs, or a plan is of another number of samples.
    """
    store = open_plans(folder)
    found = {stage: store.read(stage) for stage in store.stages()}
    wanted = dict(enumerate(stage_openings(epochs, condense)))
    opens = {stage: plan.epoch for stage, plan in found.items() if stage in wanted}
    if opens != wanted:
        raise UserError(
            f"condense.plans_from: the stages of {folder.path} open at epochs {_listed(opens)}, those of this run at "
            f"{_listed(wanted)}. Name a run with the same stages, or set distill.epochs, condense.policy and "
            f"condense.interval to match it."
        )
    for stage, plan in found.items():
        if plan.samples != samples:
            raise UserError(
                f"condense.plans_from: the plan of stage {stage} at {store.path} is of {plan.samples:,} samples, but "
                f"the training set has {samples:,}: the folder was changed after the run. Restore it from a copy."
            )
    return [found[stage] for stage in wanted]


def _listed(opens: dict[int, int]) -> str:
    """Return the epochs at which stages open, 1-based as users count them."""
    return ", ".join(str(epoch + 1) for epoch in opens.values())


def _unperturbed(plan: Plan) -> Plan:
    """Return a plan that keeps the same samples, with the same weights, and perturbs none of them."""
    size = len(plan.kept)
    return replace(plan, partner=np.full(size, NO_PARTNER), epsilon=np.zeros(size, np.float32))
