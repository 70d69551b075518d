"""A study from its plan to its report: stores that are missing, then the runs that are missing, as many as fit."""

import hashlib
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kcd_pipeline.progress import human_seconds, progress_bar, say
from kcd_pipeline.study.capacity import measure_capacity
from kcd_pipeline.study.commands import Ended
from kcd_pipeline.study.other_writers import OtherWriters
from kcd_pipeline.study.outcome import StudyOutcome
from kcd_pipeline.study.places import LocalPlaces, Places
from kcd_pipeline.study.plan import StudyPlan, StudyRun
from kcd_pipeline.study.results import write_results
from kcd_pipeline.study.rows import StudyProgress
from kcd_pipeline.study.states import Place, RunStates, place_of
from kcd_pipeline.study.stores import make_stores
from kcd_stores import one_writer

LOOK_SECONDS = 0.5  # between two looks at how far the runs are


def run_study(plan: StudyPlan, *, jobs: int | None, scheduler: str | None) -> StudyOutcome:
    """Make what a study lacks, up to its report, and return how its runs have ended.

    What is there already is taken as it is, whoever made it; a run that fails does not stop the others. A study that is
    stopped, however that is done, goes on from the last whole epoch of each run.

    Parameters
    ----------
    jobs
        Runs at a time; None: as many as the machine, or the cluster, bears.
    scheduler
        Address of a dask cluster whose workers train the students, in the same folders; None: processes of this
        machine.

    Raises
    ------
    UserError, StoreUsageError
        If the study is being run by another process, or the cluster cannot be used.
    FailedError
        If the cluster is lost.
    """
    folder = plan.study.folder
    with one_writer(folder):
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        states = RunStates(plan)
        _make_missing(plan, states, jobs=jobs, scheduler=scheduler)
        return write_results(plan, states)


def _make_missing(plan: StudyPlan, states: RunStates, *, jobs: int | None, scheduler: str | None) -> None:
    """Make the stores that are missing, then train every run that is not finished."""
    others, logs = OtherWriters(), plan.study.folder / "logs"
    runs = [*states.ready, *states.awaited]
    for path, step in make_stores(runs, scheduler=scheduler, logs=logs, others=others).items():
        for run in states.ready:
            stores = [part.store.path for part in run.config.each_teacher()]
            if path in stores and run.config.distill.method != "none":
                states.fail(run, step.line, log=step.log, command=run.command)
    states.compare_with_stores()
    if not states.ready:
        say_failures(states, set())
        return
    with _places(states, jobs=jobs, scheduler=scheduler) as places, progress_bar() as bar:
        progress = StudyProgress(bar, plan.study.name, states)
        _Round(states, places, progress, others, logs).train_all()


@contextmanager
def _places(states: RunStates, *, jobs: int | None, scheduler: str | None) -> Iterator[Places]:
    """Yield the places for runs, and say how many there are; stop at exit what is still running in them."""
    if scheduler is not None:
        from kcd_pipeline.study.cluster import open_cluster_places  # dask.distributed takes a second to load

        with open_cluster_places(scheduler, jobs=jobs) as on_cluster:
            yield on_cluster
        return
    capacity = measure_capacity([run.config for run in states.ready], jobs)
    say(f"{capacity.jobs} at a time ({capacity.reason})")
    local = LocalPlaces(capacity)
    try:
        yield local
    finally:
        local.stop()


class _Round:
    """One call of the command: trains what `states` has ready in `places`, until nothing is left to be started."""

    def __init__(
        self, states: RunStates, places: Places, progress: StudyProgress, others: OtherWriters, logs: Path
    ) -> None:
        self._states, self._places, self._progress = states, places, progress
        self._others, self._logs = others, logs
        self._running: dict[Place, StudyRun] = {}
        self._said: set[Place] = set()

    def train_all(self) -> None:
        """Train every run that can be started; say a line about each as it ends."""
        # a run that is ready and not started is written by another process, which is waited for
        while self._start_some() or self._running or self._states.ready:
            ended = self._places.next_ended(LOOK_SECONDS)
            if ended is not None:
                self._note(*ended)
            self._progress.update(self._running.values())
            say_failures(self._states, self._said)
        say_failures(self._states, self._said)  # of what could not be started, and of what waited for it

    def _start_some(self) -> bool:
        """Start as many runs as there are places; return True if any was started."""
        started = False
        while self._places.free and (run := self._next()) is not None:
            self._running[place_of(run)] = run
            self._places.start(run, self._words(run), self._log(run))
            started = True
        return started

    def _next(self) -> StudyRun | None:
        """Return a run to be started; None if all that are left are being trained, here or by another process."""
        busy = {run.folder for run in self._running.values()}
        while (run := self._states.take(busy)) is not None and self._others.hold(run.folder):
            busy.add(run.folder)
        return run

    def _note(self, run: StudyRun, end: Ended) -> None:
        """Take note of the end of a run, and say it if it has finished."""
        place = place_of(run)
        del self._running[place]
        self._states.look()
        if place in self._states.finished:
            record = self._states.finished[place][1]
            ended = self._states.finished.keys() - self._running  # others may have finished and not ended yet
            say(
                f"{len(ended)} of {self._states.total}: {run.name}: {record.test_accuracy:.2%} after "
                f"{record.epochs} epochs, {record.samples_trained:,} rows, {human_seconds(record.seconds)}"
                f"{self._progress.left()}"
            )
        elif place not in self._states.failed:
            command = shlex.join(["kcd-pipeline", *self._words(run)])
            self._states.fail(run, end.line, log=self._log(run), command=command)

    def _words(self, run: StudyRun) -> list[str]:
        """Return the command that makes a run, as words."""
        overrides = list(run.overrides)
        if run.config.run.threads is None and self._places.threads is not None:
            overrides.append(f"run.threads={self._places.threads}")
        return ["distill", run.base, *(word for override in overrides for word in ("--set", override))]

    def _log(self, run: StudyRun) -> Path:
        """Return the file of a run's messages; runs of one name have one."""
        name = re.sub(r"[^\w.=+-]+", "-", run.name)
        if name != run.name.replace(", ", "-").replace(" ", "-"):  # so that no two names come to one file
            name = f"{name}-{hashlib.sha256(run.name.encode()).hexdigest()[:4]}"
        return self._logs / f"{name}.log"


def say_failures(states: RunStates, said: set[Place]) -> None:
    """Say each failure that has not been `said`."""
    for place in states.failed.keys() - said:
        say(str(states.failed[place]))
        said.add(place)
