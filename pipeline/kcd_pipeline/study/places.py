"""Where the runs of a study take place: here, as processes of this machine, or on the workers of a dask cluster."""

from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from kcd_pipeline.study.capacity import THREADS, Capacity
from kcd_pipeline.study.commands import Command, Ended
from kcd_pipeline.study.plan import StudyRun


class Places(Protocol):
    """Places for runs, each of which takes one at a time.

    Attributes
    ----------
    threads
        CPU threads of a run whose recipe does not say; None leaves them to torch.
    """

    threads: int | None

    @property
    def free(self) -> int:
        """Number of places that no run takes."""
        ...

    def start(self, run: StudyRun, words: list[str], log: Path) -> None:
        """Start the command `words` of a run in a free place."""
        ...

    def next_ended(self, seconds: float) -> tuple[StudyRun, Ended] | None:
        """Wait at most so many seconds for a run to end; return it, or None."""
        ...

    def stop(self) -> None:
        """Have all runs end after the batch that they are at, and wait for them."""
        ...


class LocalPlaces:
    """Places on this machine, as many as its `capacity` says."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self.threads = None if capacity.gpus else THREADS
        self._running: dict[int, tuple[StudyRun, Command]] = {}
        self._ended: SimpleQueue[int] = SimpleQueue()  # places

    @property
    def free(self) -> int:
        return self._capacity.jobs - len(self._running)

    def start(self, run: StudyRun, words: list[str], log: Path) -> None:
        place = next(place for place in range(self._capacity.jobs) if place not in self._running)
        command = Command(
            words,
            folder=Path.cwd(),
            log=log,
            variables=self._capacity.variables(place),
            when_ended=lambda: self._ended.put(place),
        )
        self._running[place] = (run, command)

    def next_ended(self, seconds: float) -> tuple[StudyRun, Ended] | None:
        try:
            run, command = self._running.pop(self._ended.get(timeout=seconds))
        except Empty:
            return None
        assert command.ended is not None
        return run, command.ended

    def stop(self) -> None:
        for _, command in self._running.values():
            command.ask_to_end()  # all of them before any is waited for
        for _, command in self._running.values():
            command.stop()
        self._running.clear()
