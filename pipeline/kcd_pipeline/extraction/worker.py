"""What runs in a worker process of a dask cluster: a job is loaded once, checked, and makes blocks.

A job comes to every worker once, as a plugin, also to those that join later or replace one that died; a task is then
three numbers. Before a worker makes its first block it compares what it has (data set, teacher, libraries, device) with
what the command has, so that every block is one that the command itself would have made.
"""

import asyncio
import signal
import time
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from safetensors.torch import load

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.extraction.blocks import unwritten_is_failure
from kcd_pipeline.extraction.extractor import Extractor
from kcd_stores import KnowledgeWriter, StoreUsageError, differences
from kcd_stores.knowledge.description import listed


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker must know to make blocks.

    Attributes
    ----------
    key
        Tells jobs on one cluster apart.
    config
        The recipe, its paths absolute and `run.threads` as it is for a worker.
    facts
        What the command would make blocks from, and with (`facts`).
    weights
        The teacher's state dict as safetensors, where a worker does not see its file; None if all do.
    """

    key: str
    config: Config
    facts: dict[str, Any]
    weights: bytes | None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A block whose data is durable, what it cost, and who made it."""

    view: int
    block: int
    seconds: float
    worker: str


def facts(extractor: Extractor) -> dict[str, Any]:
    """All that the bytes of a block depend on."""
    return extractor.origin() | {"compression": {"numcodecs": version("numcodecs")}}


class LeftError(Exception):
    """A block that nobody waits for any more was given up."""


class Post:
    """A worker's place at one job: the teacher over the data, and the store, each loaded when first asked for."""

    def __init__(self, job: Job, worker: str) -> None:
        self.job, self.worker = job, worker
        self.computing = Lock()  # one block at a time; a worker of two threads writes one while it computes the next
        self.left = False  # the command has ended, or been stopped: what is under way is for nobody
        self._writers: dict[str, KnowledgeWriter] = {}

    @cached_property
    def extractor(self) -> Extractor:
        """UserError if it is not what the command has, naming the worker and both sides of each difference."""
        try:
            weights = None if self.job.weights is None else load(self.job.weights)
            extractor = Extractor(self.job.config, weights=weights)
        except UserError as error:
            raise UserError(f"worker {self.worker} cannot make this store's blocks: {error}") from error
        found = differences(facts(extractor), self.job.facts)
        if found:
            raise UserError(
                f"worker {self.worker} would make other knowledge than this command, so it gets no blocks "
                f"(found: the worker, expected: here):\n{listed(found)}\nGive both the same libraries, data, "
                f"teacher and kind of device (run.device), or take that worker out of the cluster."
            )
        return extractor

    def still_wanted(self, rows: int = 0) -> None:
        """Stop, with LeftError, at the next batch once the job is taken away."""
        if self.left:
            raise LeftError(f"worker {self.worker} was told to leave")

    def writer(self, identity: str) -> KnowledgeWriter:
        """Return a writer that has joined the store."""
        if identity not in self._writers:
            try:
                self._writers[identity] = KnowledgeWriter.join(self.job.config.store.path, identity=identity)
            except StoreUsageError as error:
                raise StoreUsageError(f"worker {self.worker}: {error.problem}", remedy=error.remedy) from error
        return self._writers[identity]


_posts: dict[tuple[str, str], Post] = {}  # by the worker's address (a process may be several) and the job's key


class JobPlugin(WorkerPlugin):  # type: ignore[misc]  # partial hints, which are skipped (pyproject.toml)
    """Brings a job to every worker of a cluster, and takes it away."""

    def __init__(self, job: Job) -> None:
        self.job, self.name = job, f"kcd-{job.key}"

    def setup(self, worker: Any) -> None:
        name = worker.address if worker.name == worker.address else f"{worker.name} at {worker.address}"
        _posts[worker.address, self.job.key] = Post(self.job, name)

    def teardown(self, worker: Any) -> None:
        _posts.pop((worker.address, self.job.key)).left = True


def dask_setup(worker: Any) -> None:
    """Of processes that a command started for itself: Ctrl-C reaches them too, but the command ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def sees(path: str) -> bool:
    """Whether the file `path` is there for this worker."""
    return Path(path).is_file()


async def report(key: str, dask_worker: Any) -> None:
    """Load a job, beside the event loop; raises if this worker is not fit for it."""
    post = _post(dask_worker.address, key)

    def load_it() -> None:
        with post.computing:
            _ = post.extractor

    await asyncio.to_thread(load_it)


def make_block(key: str, identity: str, view: int, block: int) -> Made:
    """Make one block, durable when this returns; made twice, it is the same bytes.

    Raises
    ------
    UserError
        If this worker has not what the command has, or does not see the store.
    FailedError
        If a logit is not finite or does not fit the encoding.
    """
    post = _post(get_worker().address, key)
    with post.computing:
        post.still_wanted()
        writer, extractor = post.writer(identity), post.extractor
        started = time.perf_counter()
        logits = extractor.logits(view, writer.store.layout.rows(block), post.still_wanted)
        seconds = time.perf_counter() - started
    started = time.perf_counter()
    with unwritten_is_failure(writer, view, block):
        writer.write_data(view, block, logits)
    seconds += time.perf_counter() - started
    return Made(view=view, block=block, seconds=seconds, worker=post.worker)


def _post(address: str, key: str) -> Post:
    try:
        return _posts[address, key]
    except KeyError:
        raise FailedError(
            f"worker {address} was not given this job: its log says why. Take it out of the cluster, or mend it."
        ) from None
