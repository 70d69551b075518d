"""Code that runs in a worker process of a dask cluster: it loads a job once, compares it, and makes blocks.

A plugin brings the job to every worker once, also to those that join later or replace one that died, so that a task is
only four short values. Before a worker makes its first block it compares what it has (data set, teacher, libraries,
device) with what the command has. So every block is one that the command itself would have made.
"""

import asyncio
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from numpy.typing import NDArray
from safetensors.torch import load

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.freed_memory import memory_is_kept
from kcd_pipeline.models import Weights
from kcd_pipeline.progress import keep_quiet
from kcd_pipeline.teacher_rows import Extractor, block_refusals_as_failures
from kcd_stores import KnowledgeWriter, StoreUsageError, differences
from kcd_stores.knowledge import difference_lines


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a worker must know to make blocks.

    Attributes
    ----------
    key
        Distinguishes the jobs on one cluster.
    config
        The recipe, with absolute paths and the `run.threads` of a worker.
    block_facts
        The facts that the command would make blocks from (`block_facts`), which a worker's must equal.
    weights
        The teacher's state dict as safetensors, if some worker does not see its file; None if all do.
    facts
        The facts in the header of that file.
    """

    key: str
    config: Config
    block_facts: dict[str, Any]
    weights: bytes | None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class FinishedBlock:
    """A block whose data is durable.

    Attributes
    ----------
    view, block
        Which block of the store it is.
    seconds
        Time spent on making and writing it.
    checksums
        The checksums of its stored chunks, as `KnowledgeWriter.write_encoded` returned them.
    worker
        Name and address of the worker that made it.
    """

    view: int
    block: int
    seconds: float
    checksums: NDArray[np.uint32]
    worker: str


def block_facts(extractor: Extractor) -> dict[str, Any]:
    """Return all facts that the bytes of a block depend on."""
    return extractor.origin() | {"compression": {"numcodecs": version("numcodecs")}}


class JobEndedError(Exception):
    """A block was abandoned because nobody waits for it any more."""


class WorkerJob:
    """A job in one worker: its teacher over the data, and writers of its store, each loaded when it is first needed.

    Attributes
    ----------
    computing
        Held while a block is computed: one at a time. A worker with two threads writes one block meanwhile.
    ended
        True once the command has ended or was stopped, so that nobody waits for blocks under way.
    """

    def __init__(self, job: Job, worker: str) -> None:
        self.job, self.worker = job, worker
        self.computing = Lock()
        self.ended = False
        self._writers: dict[str, KnowledgeWriter] = {}
        self._held = ExitStack()
        self._held.enter_context(memory_is_kept())  # from block to block

    def end(self) -> None:
        """Abandon the block that is being made, and give memory back."""
        self.ended = True
        self._held.close()

    @cached_property
    def extractor(self) -> Extractor:
        """The teacher over the data, as this worker has them.

        Raises
        ------
        UserError
            If they differ from what the command has, naming the worker and both sides of each difference.
        """
        try:
            weights = None
            if self.job.weights is not None:
                weights = Weights(state=load(self.job.weights), facts=self.job.facts)
            extractor = Extractor(self.job.config, weights=weights)
        except UserError as error:
            raise UserError(f"worker {self.worker} cannot make this store's blocks: {error}") from error
        found = differences(block_facts(extractor), self.job.block_facts)
        if found:
            raise UserError(
                f"worker {self.worker} would make other knowledge than this command, so it gets no blocks "
                f"(found: the worker, expected: here):\n{difference_lines(found)}\nGive both the same libraries, data, "
                f"teacher and kind of device (run.device), or take that worker out of the cluster."
            )
        return extractor

    def require_not_ended(self, rows: int = 0) -> None:
        """Raise JobEndedError if the job has ended. Called after each batch (of so many `rows`)."""
        if self.ended:
            raise JobEndedError(f"worker {self.worker} was told that the job has ended")

    def writer(self, identity: str) -> KnowledgeWriter:
        """Return the writer that has joined the store `identity`.

        Raises
        ------
        StoreUsageError
            If this worker does not see that store.
        """
        if identity not in self._writers:
            try:
                self._writers[identity] = KnowledgeWriter.join(self.job.config.store.path, identity=identity)
            except StoreUsageError as error:
                raise StoreUsageError(f"worker {self.worker}: {error.problem}", remedy=error.remedy) from error
        return self._writers[identity]


_jobs: dict[tuple[str, str], WorkerJob] = {}  # by the worker's address, as a process may be several, and the job's key


class JobPlugin(WorkerPlugin):  # type: ignore[misc]  # partial hints, which are skipped (pyproject.toml)
    """Brings a job to every worker of a cluster, and takes it away again."""

    def __init__(self, job: Job) -> None:
        self.job, self.name = job, f"kcd-{job.key}"

    def setup(self, worker: Any) -> None:
        name = worker.address if worker.name == worker.address else f"{worker.name} at {worker.address}"
        _jobs[worker.address, self.job.key] = WorkerJob(self.job, name)

    def teardown(self, worker: Any) -> None:
        _jobs.pop((worker.address, self.job.key)).end()


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C and all talking to the command that started this process: Ctrl-C reaches both."""
    keep_quiet()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def file_is_visible(path: str) -> bool:
    """Return True if this worker sees the file `path`."""
    return Path(path).is_file()


async def load_job(key: str, dask_worker: Any) -> None:
    """Load the job `key`, in a thread beside the event loop; raise if this worker cannot make its blocks."""
    job = _job(dask_worker.address, key)

    def load_extractor() -> None:
        with job.computing:
            _ = job.extractor

    await asyncio.to_thread(load_extractor)


def make_block(key: str, identity: str, view: int, block: int) -> FinishedBlock:
    """Make one block of the store `identity`, durable on return. Made twice, it has the same bytes.

    Raises
    ------
    UserError, StoreUsageError
        If this worker does not have what the command has, or does not see the store.
    FailedError
        If a number in a row is not finite or does not fit the encoding.
    """
    job = _job(get_worker().address, key)
    with job.computing:
        job.require_not_ended()
        writer, extractor = job.writer(identity), job.extractor
        started = time.perf_counter()
        encoded = writer.begin_block(view, block)
        for rows in extractor.pieces([(view, encoded.samples)], job.require_not_ended):
            with block_refusals_as_failures(writer, view, block):
                encoded.add(rows)
        seconds = time.perf_counter() - started
    started = time.perf_counter()
    checksums = writer.write_encoded(encoded)
    seconds += time.perf_counter() - started
    return FinishedBlock(view=view, block=block, seconds=seconds, checksums=checksums, worker=job.worker)


def _job(address: str, key: str) -> WorkerJob:
    try:
        return _jobs[address, key]
    except KeyError:
        raise FailedError(
            f"worker {address} was not given this job: its log says why. Take it out of the cluster, or repair it."
        ) from None
