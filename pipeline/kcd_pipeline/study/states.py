"""The runs of a study by their state: finished, failed, ready to be started, or waiting for another run."""

from collections.abc import Collection
from pathlib import Path

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.reports.collect.runs import RunRecord, read_run
from kcd_pipeline.runs import RunFolder, require_same_run
from kcd_pipeline.study.arms import Arm
from kcd_pipeline.study.outcome import FailedRun
from kcd_pipeline.study.plan import StudyPlan, StudyRun
from kcd_pipeline.study.stores import open_whole_store
from kcd_stores import StoreError, masked

Place = tuple[str, int]  # the name of an arm, and a seed


class RunStates:
    """The state of every run of `plan`; runs that were made by hand or for another study count as well.

    Attributes
    ----------
    finished
        The finished runs and what they recorded, by arm and seed.
    failed
        The failed ones.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan
        # seed by seed, so that pairs can be compared early
        self._open: dict[Place, Arm] = {(arm.name, seed): arm for seed in plan.study.seeds for arm in plan.arms}
        self._ready: dict[Place, StudyRun] = {}
        self.finished: dict[Place, tuple[StudyRun, RunRecord]] = {}
        self.failed: dict[Place, FailedRun] = {}
        self._identities: dict[str, str | None] = {}  # of stores, by their place; None without a whole one
        self.look()

    @property
    def total(self) -> int:
        """Number of all runs."""
        return len(self._plan.arms) * len(self._plan.study.seeds)

    @property
    def ready(self) -> list[StudyRun]:
        """The runs that can be started, those that are needed first in front."""
        return [self._ready[place] for place in self._open if place in self._ready]

    @property
    def awaited(self) -> list[StudyRun]:
        """The runs that others wait for, to be stopped at as many rows: one for each that waits."""
        runs = {(run.arm.name, run.seed): run for run in self._plan.runs}
        waiting = [(arm, place[1]) for place, arm in self._open.items() if place not in self._ready]
        return [runs[str(arm.rows_of), seed] for arm, seed in waiting]

    def look(self) -> None:
        """Find out which runs are finished, which can be started now, and which never can."""
        for place, arm in list(self._open.items()):
            if place not in self._ready:
                self._resolve(place, arm)
        for run in self.ready:
            if RunFolder(run.folder).finished:  # also by its twin: two arms may stop at the same number of rows
                self._adopt(run)

    def take(self, busy: Collection[Path]) -> StudyRun | None:
        """Return the first run that can be started while others train in the folders `busy`, and is not among them."""
        self.look()
        return next((run for run in self.ready if run.folder not in busy), None)

    def fail(self, run: StudyRun, line: str, *, log: Path | None = None, command: str | None = None) -> FailedRun:
        """Note that a run has failed."""
        failed = FailedRun(name=run.name, line=line, log=log, command=command)
        self._close(place_of(run), failed)
        return failed

    def _resolve(self, place: Place, arm: Arm) -> None:
        seed = place[1]
        try:
            run = self._plan.resolve(arm, seed)
        except (UserError, FailedError, StoreError, OSError) as error:
            self._close(place, FailedRun(name=f"{arm.name}, seed {seed}", line=one_line(error)))
            return
        if run is not None:
            self._ready[place] = run
        elif (str(arm.rows_of), seed) in self.failed:
            line = f"it is stopped at the rows of {arm.rows_of}, seed {seed}, which failed."
            self._close(place, FailedRun(name=f"{arm.name}, seed {seed}", line=line))

    def _adopt(self, run: StudyRun) -> None:
        """Take a finished run as one of this study, if it is what the study asks for and is not damaged."""
        try:
            record = read_run(run.folder)
            require_same_run(RunFolder(run.folder), run.config.plain())
            self._require_present_store(run)
        except (UserError, FailedError, StoreError, OSError) as error:
            self._close(place_of(run), _other_run(run, error))
            return
        assert isinstance(record, RunRecord)
        place = place_of(run)
        self._open.pop(place)
        self._ready.pop(place)
        self.finished[place] = (run, record)

    def compare_with_stores(self) -> None:
        """Find out which finished runs were taught from other stores than those that are there now."""
        self._identities.clear()
        for place, (run, _) in list(self.finished.items()):
            try:
                self._require_present_store(run)
            except (UserError, StoreError) as error:
                del self.finished[place]
                self.failed[place] = _other_run(run, error)

    def _require_present_store(self, run: StudyRun) -> None:
        """Raise UserError if a finished run was taught from another store than is now in the place of its own."""
        origin = RunFolder(run.folder).read_origin()
        for part, taught_from in zip(
            run.config.each_teacher(), (origin.get("store"), *origin.get("other_stores", ())), strict=False
        ):
            self._require_store(run, part, taught_from)

    def _require_store(self, run: StudyRun, config: Config, taught_from: str | None) -> None:
        """Raise UserError unless the store of `config` is the one that a run was taught from, or is not there."""
        path = config.store.path
        if taught_from is not None and path not in self._identities:
            store = open_whole_store(config)
            self._identities[path] = None if store is None else store.identity
        present = self._identities.get(path)
        if taught_from is None or present is None or taught_from == present:
            return
        raise UserError(
            f"{run.folder} was taught from the store {taught_from}, but the store at {masked(path)} is {present}: it "
            f"was made anew, from another teacher or in another way. Put the former store back, or repeat the run."
        )

    def _close(self, place: Place, failed: FailedRun) -> None:
        self._open.pop(place)
        self._ready.pop(place, None)
        self.failed[place] = failed


def _other_run(run: StudyRun, error: Exception) -> FailedRun:
    """Return a finished run as a failed one, for it is not the run that the study asks for."""
    return FailedRun(name=run.name, line=one_line(error), command=f"{run.command} --overwrite")


def place_of(run: StudyRun) -> Place:
    """Return the arm and the seed of a run."""
    return run.arm.name, run.seed


def one_line(error: Exception) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split())
