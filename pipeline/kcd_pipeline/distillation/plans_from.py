"""Plans of another run, followed instead of being computed: a condensed set found by one student teaches another."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kcd_pipeline.condensation import stage_openings
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import DamagedError, UserError
from kcd_pipeline.runs import RunFolder, open_plans, read_condensing_config
from kcd_stores import NO_PARTNER, Plan, PlanStore
from kcd_stores.scratch import IN_MEMORY, Scratch, constant, pieces


class PlansFromRun:
    """Plans of another run, one for each stage of this one. They are read when they are needed: there may be hundreds.

    Parameters
    ----------
    plans
        All plans of that run.
    stages
        The number of stages of this run.
    perturbed
        True to keep their perturbations; False to teach the same samples, with the same weights, as they are stored.

    Attributes
    ----------
    digest
        Changes with the content of the plans.
    samples
        The size of the data set that they are of.
    weighted
        True if a plan weighs its samples.
    strongest
        The largest strength of all blends.
    """

    def __init__(self, plans: PlanStore, stages: int, *, perturbed: bool) -> None:
        self._plans, self._perturbed = plans, perturbed
        self._digests: list[str] = []
        self.samples, self.weighted, self.strongest = 0, False, 0.0
        for stage in range(stages):
            plan = self._read(stage, Scratch())
            self._digests.append(plan.digest)
            self.samples = plan.samples
            self.weighted |= plan.weighted
            strongest = (float(plan.epsilon[piece].max()) for piece in pieces(len(plan.kept)))
            self.strongest = max(self.strongest, *strongest)
        self.digest = hashlib.sha256("".join(self._digests).encode()).hexdigest()

    def plan(self, stage: int, scratch: Scratch = IN_MEMORY) -> Plan:
        """Return the plan of `stage` (0-based), in arrays of `scratch`.

        Raises
        ------
        DamagedError
            If it is not the plan that was there when this run began.
        """
        plan = self._read(stage, scratch)
        if plan.digest != self._digests[stage]:
            raise DamagedError(
                f"condense.plans_from: the plan of stage {stage} at {self._plans.path} was replaced while it was "
                f"followed. Restore it from a copy, or start this run anew with --overwrite."
            )
        return plan

    def _read(self, stage: int, scratch: Scratch) -> Plan:
        plan = self._plans.read(stage, scratch)
        return plan if self._perturbed else _unperturbed(plan)


def open_plans_from(config: Config, dataset: Dataset) -> PlansFromRun | None:
    """Read the plans of the run that `condense.plans_from` names; return None if it names none.

    Raises
    ------
    UserError
        If there is no such run, it did not condense, its data or its stages are not those of this run, or its blends
        are too strong for images.
    """
    source = config.plans_from
    if source is None or config.distill.method != "kcd":
        return None
    if source.resolve() == config.run_dir.resolve():
        raise UserError(f"condense.plans_from is this run's own folder, {source}. Name the run whose plans to follow.")
    folder = RunFolder(source)
    read_condensing_config(folder, asked_by="condense.plans_from")
    _require_same_data(folder, dataset)
    plans = open_plans(folder)
    wanted = stage_openings(config.distill.epochs, config.condense)
    _require_stages(folder, plans.openings(), wanted)
    followed = PlansFromRun(plans, len(wanted), perturbed=config.condense.perturb != "off")
    if followed.samples != len(dataset.train):
        raise UserError(
            f"condense.plans_from: the plans at {plans.path} are of {followed.samples:,} samples, but the training set "
            f"has {len(dataset.train):,}: the folder was changed after the run. Restore it from a copy."
        )
    if config.condense.perturb in ("pair", "teacher") and followed.strongest > 1:
        raise UserError(
            f"condense.plans_from: the plans of {source} blend with strengths up to {followed.strongest:g}, but "
            f"perturb: {config.condense.perturb} blends (1 - eps) of an image with eps of another, which needs "
            f"strengths up to 1. Set condense.perturb to knowledge or off, or name another run."
        )
    return followed


def _require_same_data(folder: RunFolder, dataset: Dataset) -> None:
    found, expected = folder.read_origin().get("dataset"), dataset.description["fingerprint"]
    if found != expected:
        raise UserError(
            f"condense.plans_from: {folder.path} condensed other data than this run trains on: its training set has "
            f"fingerprint {str(found)[:12]}, this one {expected[:12]} ({dataset.name}, {len(dataset.train):,} "
            f"samples). Its plans would pick the wrong samples. Name a run on the same data."
        )


def _require_stages(folder: RunFolder, opens: Sequence[int], wanted: Sequence[int]) -> None:
    """Raise UserError unless the first stages in `folder`, which open at the epochs `opens`, open at those `wanted`."""
    if list(opens[: len(wanted)]) != list(wanted):
        raise UserError(
            f"condense.plans_from: the stages of {folder.path} open at epochs {_listed(opens)}, those of this run at "
            f"{_listed(wanted)}. Name a run with the same stages, or set distill.epochs, condense.policy, "
            f"condense.interval and condense.finish to match it."
        )


def _listed(opens: Sequence[int]) -> str:
    """Return the epochs at which stages open, 1-based as users count them; of many, the first and the last ones."""
    epochs = [f"{epoch + 1:,}" for epoch in opens]
    return ", ".join(epochs if len(epochs) <= 8 else [*epochs[:4], "...", *epochs[-2:]])


def _unperturbed(plan: Plan) -> Plan:
    """Return a plan that keeps the same samples, with the same weights, and perturbs none of them."""
    size = len(plan.kept)
    return replace(plan, partner=constant(size, NO_PARTNER, np.int64), epsilon=constant(size, 0, np.float32))
