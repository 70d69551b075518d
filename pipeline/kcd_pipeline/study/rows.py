"""The rows of a study: how many samples its runs train on in all, each counted once an epoch, and how many by now."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from rich.progress import Progress

from kcd_pipeline.condensation.schedule import kept_count
from kcd_pipeline.config import Config
from kcd_pipeline.progress import human_seconds
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.study.plan import StudyRun
from kcd_pipeline.study.states import RunStates
from kcd_pipeline.study.stores import open_whole_store

SCHEDULED = ("kcd", "annealed", "rs2")  # policies that keep as many samples as the schedule says
AT_MOST = ("weighted",)  # those that keep at most as many: one that is drawn twice is taught once


def expected_samples(config: Config, samples: int) -> int:
    """Return how many samples a run trains on in all its epochs, each counted once an epoch, of a set of `samples`.

    Where that depends on how the training goes, it is the most that there can be (see `follows_schedule`).
    """
    distill = config.distill
    if distill.rows is not None:
        return distill.rows
    condense = config.condense
    if distill.method != "kcd" or condense.policy not in SCHEDULED + AT_MOST or condense.plans_from is not None:
        return distill.epochs * samples
    return sum(kept_count(samples, epoch, distill.epochs, condense) for epoch in range(distill.epochs))


def follows_schedule(config: Config) -> bool:
    """Return True if the number of samples that a run trains on is known before, and not just the most of them."""
    if config.distill.patience is not None:
        return False
    if config.distill.method != "kcd":
        return True
    return config.condense.policy in SCHEDULED and config.condense.plans_from is None


def samples_done(folder: Path) -> int:
    """Return how many samples the run in `folder` has trained on up to now; a file that is being written may lag."""
    try:
        lines = RunFolder(folder).metrics_lines()
        return sum(int(json.loads(line)["samples"]) for line in lines)
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # what is wrong with a run is found out when it is read as a whole


class StudyProgress:
    """One bar over all runs of a study, by the rows that they have trained on.

    Parameters
    ----------
    bar
        Where it is drawn.
    name
        Its name.
    states
        The runs.
    """

    def __init__(self, bar: Progress, name: str, states: RunStates) -> None:
        self._bar, self._states = bar, states
        self._samples = _samples_of_set(states)
        self._now = self._done(states.ready)
        self._first: tuple[int, float] | None = None  # rows and time at the end of the first epoch
        self._task = bar.add_task(name, total=None, completed=self._now, unit="rows", note="")
        self.update(())

    def update(self, running: Iterable[StudyRun]) -> None:
        """Draw how far all runs are, of which these are being trained."""
        before, self._now = self._now, max(self._done(running), self._now)
        if self._first is None and self._now > before:
            self._first = self._now, time.monotonic()
        finished = f"{len(self._states.finished)} of {self._states.total} runs"
        self._bar.update(self._task, completed=self._now, total=self._total(), note=finished)

    def left(self) -> str:
        """Return the time left in words, such as `, about 5 min to go`; nothing while it is not known.

        It is measured from the end of the first epoch, so that the start of the first processes does not count.
        """
        total = self._total()
        if self._first is None or total is None or total <= self._now:
            return ""
        done, seconds = self._now - self._first[0], time.monotonic() - self._first[1]
        return f", about {human_seconds((total - self._now) * seconds / done)} to go" if done else ""

    def _done(self, running: Iterable[StudyRun]) -> int:
        """Return the rows of finished runs, and of those that are under way."""
        finished = sum(record.samples_trained for _, record in self._states.finished.values())
        return finished + sum(samples_done(run.folder) for run in running)

    def _total(self) -> int | None:
        """Return the rows of all runs that can still finish; None if the size of their data set is not known yet."""
        if self._samples is None:
            self._samples = _samples_of_set(self._states)
        if self._samples is None:
            return None
        finished = sum(record.samples_trained for _, record in self._states.finished.values())
        to_do = [*self._states.ready, *self._states.awaited]
        return finished + sum(expected_samples(run.config, self._samples) for run in to_do)


def _samples_of_set(states: RunStates) -> int | None:
    """Return the number of samples that students are trained on, as a finished run or the store has them."""
    for _, record in states.finished.values():
        first = record.metrics[0]
        return round(first["samples"] / first["kept_fraction"])
    for run in states.ready:
        if (store := open_whole_store(run.config)) is not None:
            return store.layout.samples
    return None
