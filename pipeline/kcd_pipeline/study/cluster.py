"""Runs of a study on the workers of a dask cluster, which see the same folders as the command."""

import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future, get_worker
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.worker import thread_state

from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.extraction import Cluster
from kcd_pipeline.extraction.cluster_maker import require_same_libraries
from kcd_pipeline.extraction.worker import file_is_visible
from kcd_pipeline.progress import say
from kcd_pipeline.study.commands import PATIENCE_SECONDS, Command, Ended
from kcd_pipeline.study.plan import StudyRun

LOOK_SECONDS = 0.5  # after which a worker looks whether its run is still wanted
WANTED = ("executing", "long-running")  # states of a task of dask that has not been taken back


class ClusterPlaces:
    """Places on the workers of `client`, one for each of their threads, or `jobs` of them."""

    threads: int | None = None  # a worker may have a GPU, or a machine for itself

    def __init__(self, client: Client, jobs: int | None) -> None:
        self._client, self._jobs = client, jobs
        self._running: dict[Future, StudyRun] = {}
        self._ended: SimpleQueue[Future] = SimpleQueue()

    @property
    def free(self) -> int:
        jobs = self._jobs or max(sum(self._client.nthreads().values()), 1)  # workers may come and go
        return max(jobs - len(self._running), 0)

    def start(self, run: StudyRun, words: list[str], log: Path) -> None:
        key = f"kcd-study-{uuid.uuid4().hex[:12]}"
        future = self._client.submit(run_here, words, str(Path.cwd()), str(log.absolute()), key=key, pure=False)
        self._running[future] = run
        future.add_done_callback(self._ended.put)

    def next_ended(self, seconds: float) -> tuple[StudyRun, Ended] | None:
        if self._client.status != "running":
            raise _lost(None)
        try:
            future = self._ended.get(timeout=seconds)
        except Empty:
            return None
        run = self._running.pop(future)
        try:
            code, line = future.result()
        except (CancelledError, CommClosedError) as error:
            raise _lost(error) from error
        except KilledWorker as error:
            return run, Ended(code=1, line=f"given up, for the workers that it was given to died: {error}")
        except Exception as error:  # of dask, on its way to the worker or back
            return run, Ended(code=1, line=f"{type(error).__name__}: {error}")
        return run, Ended(code=code, line=line)

    def stop(self) -> None:
        """Take back all runs, and wait until those that have begun have ended."""
        if not self._running or self._client.status != "running":
            return
        self._client.cancel(list(self._running))
        self._running.clear()
        with suppress(OSError, CommClosedError):  # the scheduler was lost a moment ago
            self._client.run(wait_for_ends)


@contextmanager
def open_cluster_places(address: str, *, jobs: int | None) -> Iterator[ClusterPlaces]:
    """Yield places on the workers of the scheduler at `address`; stop at exit what still runs there.

    Raises
    ------
    UserError
        If the scheduler does not answer, has no workers, or they have other libraries or do not see the same folder.
    """
    with Cluster(scheduler=address).connect() as client:
        require_same_libraries(client)
        _require_same_folder(client)
        places = ClusterPlaces(client, jobs)
        say(f"{places.free} at a time, on {len(client.nthreads())} workers of {address}")
        try:
            yield places
        finally:
            places.stop()


def _require_same_folder(client: Client) -> None:
    """Raise UserError unless every worker sees a file that this process makes in its working folder."""
    probe = Path.cwd() / f".kcd-{uuid.uuid4().hex[:12]}"
    probe.touch()
    try:
        blind = [worker for worker, seen in client.run(file_is_visible, str(probe)).items() if not seen]
    finally:
        probe.unlink(missing_ok=True)
    if blind:
        raise UserError(
            f"worker {blind[0]} does not see the folder {Path.cwd()}, in which the runs of a study are made. Let all "
            f"workers see it under this name, such as by a shared file system, or leave --scheduler out."
        )


def _lost(error: Exception | None) -> FailedError:
    reason = f" ({error})" if str(error or "") else ""
    return FailedError(
        f"the scheduler of the cluster was lost{reason}. What is complete is kept; the same command goes on from there."
    )


# --- on a worker ---------------------------------------------------------------------------------------------

_here: set[Command] = set()  # commands that run on this worker


def run_here(words: list[str], folder: str, log: str) -> tuple[int, str]:
    """Run a command on this worker until it ends, or until its task is taken back; return its exit code and last line.

    dask does not interrupt what a worker computes, so this asks whether it is still wanted.
    """
    worker, key = get_worker(), thread_state.key
    command = Command(words, folder=Path(folder), log=Path(log))
    _here.add(command)
    try:
        while (ended := command.wait(LOOK_SECONDS)) is None:
            if not _is_wanted(worker, key):
                command.stop()
    finally:
        command.stop()
        _here.discard(command)
    return ended.code, ended.line


def _is_wanted(worker: Any, key: str) -> bool:
    task = worker.state.tasks.get(key)
    return worker.status.name == "running" and task is not None and task.state in WANTED


def wait_for_ends() -> None:
    """Wait until the commands of this worker, whose tasks have been taken back, have ended."""
    for command in tuple(_here):
        command.wait(PATIENCE_SECONDS)
