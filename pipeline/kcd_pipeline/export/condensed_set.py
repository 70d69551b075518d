"""Read the condensed set of a run: the rows that one of its stages was taught."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation import TaughtRows
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder, open_plans, read_condensing_config
from kcd_pipeline.store_opening import open_store
from kcd_stores import NO_PARTNER, CondensedRows, HeldRows, KnowledgeStore, Plan, is_condensed
from kcd_stores.knowledge import DIGEST_KEY, WEIGHTED_KEY
from kcd_stores.streaming.rows import read_pieces


class CondensedSet:
    """The rows that one stage of a run was taught: the stage's plan, applied to the store that the run learnt from.

    Parameters
    ----------
    run
        The folder of the run.
    stage
        Which stage, counted from 1; None for the last one.
    source
        Where the store of the run is, if it has moved.

    Attributes
    ----------
    config
        The recipe of the run.
    plan
        The plan of the stage.
    store
        The store that the run learnt from.

    Raises
    ------
    UserError, StoreError
        If the run, its plan or its store is not there or cannot be used.
    """

    def __init__(self, run: Path, *, stage: int | None, source: str | None) -> None:
        folder = RunFolder(run)
        self.config = parse_config(read_condensing_config(folder, asked_by="RUN"), source=str(folder.config))
        self.plan = _read_plan(folder, stage)
        self.store = _open_source(folder, self.config, source)
        condense = self.config.condense
        if condense.perturb in ("pair", "teacher") and self.plan.epsilon.any():
            raise UserError(
                f"{run} blended images together with their knowledge (condense.perturb: {condense.perturb}), and a "
                f"knowledge store holds no images: its perturbed rows would belong to pictures that nobody has. Export "
                f"a run with condense.perturb knowledge or off."
            )
        if self.config.augmentation.mix is not None:
            raise UserError(
                f"{run} was taught pictures that are mixed with others (augmentation.mix: "
                f"{self.config.augmentation.mix.name}), and samples that its condensed set leaves out are partners of "
                f"those that it keeps: nobody could make its pictures again. Export a run without augmentation.mix."
            )
        self._space = "pair" if condense.perturb == "pair" else condense.space
        self._taught = TaughtRows(
            self.plan,
            space=self._space,
            temperature=self.config.distill.temperature,
            classes=self.store.layout.classes,
        )

    def rows(self, view: int, places: range) -> NDArray[np.float32]:
        """Return the rows that were taught of the kept samples at `places` of the plan, as their `view`: `[n, C]`."""
        span = slice(places.start, places.stop)
        kept, partners = self.plan.kept[span], self.plan.partner[span][self.plan.epsilon[span] > 0]
        needed = np.unique(np.concatenate([kept, partners]))
        pieces = [piece for _, piece in read_pieces(self.store, view, needed, self.store.layout.chunk_rows)]
        return self._taught.batch(HeldRows(needed, np.concatenate(pieces), self.store.packing), kept).numpy()

    def condensed_rows(self) -> CondensedRows:
        """Return which samples the rows belong to, what is blended into them, and their weights if the plan has any."""
        plan = self.plan
        return CondensedRows(
            samples=plan.kept,
            partner=np.where(plan.epsilon > 0, plan.partner, NO_PARTNER),
            epsilon=plan.epsilon,
            weight=plan.weight if plan.weighted else None,
        )

    def made_from(self) -> dict[str, Any]:
        """Return the origin of a store of this set: all facts of the run's store, and those of run and plan."""
        condensed = {
            "store": self.store.identity,
            "encoding": {"name": self.store.encoding.name, **self.store.encoding.settings()},
            "student": self.config.student.model,
            "seed": self.config.seed,
            "stage": self.plan.stage + 1,
            "plan": self.plan.digest,
            "perturbed": int(np.count_nonzero(self.plan.epsilon)),
            "space": self._space,
            "temperature": self.config.distill.temperature,
            DIGEST_KEY: self.condensed_rows().digest,
            **({WEIGHTED_KEY: True} if self.plan.weighted else {}),
        }
        return {**self.store.made_from, "condensed": condensed}


def _read_plan(folder: RunFolder, stage: int | None) -> Plan:
    """Return the plan of a stage, counted from 1, or of the last one; raise UserError if there is none."""
    plans = open_plans(folder)
    stages = plans.stages()
    if not stages:
        raise UserError(
            f"{folder.path} has no plan yet: it was stopped before its first epoch. Go on with it first: "
            f"`kcd-pipeline distill {folder.config} --set run.dir={folder.path}`."
        )
    if stage is not None and stage - 1 not in stages:
        raise UserError(f"--stage {stage}: {folder.path} has stages {stages[0] + 1} to {stages[-1] + 1} so far.")
    return plans.read(stages[-1] if stage is None else stage - 1)


def _open_source(folder: RunFolder, config: Config, moved_to: str | None) -> KnowledgeStore:
    """Open the store that the run learnt from; raise UserError if another one is in its place, or it is condensed."""
    if config.other_teachers:
        raise UserError(
            f"{folder.path} was taught the blend of {1 + len(config.other_teachers)} teachers, and a condensed set is "
            f"made from the store of one. Another student can follow its plans on the same stores: "
            f"--set condense.plans_from={folder.path}."
        )
    store = open_store(moved_to or config.store.path)
    expected = folder.read_origin().get("store")
    if store.identity != expected:
        raise UserError(
            f"the store at {store.location} is not the one that {folder.path} was taught from: its identity is "
            f"{store.identity}, expected {expected}. Give the right one with --store."
        )
    if is_condensed(store):
        raise UserError(
            f"{folder.path} was itself taught from a condensed set ({store.location}); only a set that was condensed "
            f"from the teacher's own rows can be exported. Give the run of a student that learnt from a whole store."
        )
    store.require_views(config.store.views)
    return store
