"""The command's side of an extraction on a dask cluster: it compares workers, hands out blocks and records them.

Workers write data. This process alone, which holds the store's lock, records which blocks are complete, because the
record of a whole view is one file.
"""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from safetensors.torch import save

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.extraction.cluster import Cluster
from kcd_pipeline.extraction.worker import (
    FinishedBlock,
    Job,
    JobPlugin,
    block_facts,
    file_is_visible,
    load_job,
    make_block,
)
from kcd_pipeline.models import Weights, load_weights
from kcd_pipeline.models.merged_outputs import whole_model
from kcd_pipeline.models.weights import independent_tensors
from kcd_pipeline.progress import say
from kcd_pipeline.teacher_rows import Extractor, extraction_progress
from kcd_stores import KnowledgeStore, KnowledgeWriter, StoreError, open_storage

LIBRARIES = ("kcd-pipeline", "torch", "torchvision", "numpy", "pillow", "zarr", "numcodecs")
BLOCKS_AHEAD = 512  # blocks that the scheduler has at a time: more than there are workers, few enough not to slow it
QUIET_SECONDS = 5.0  # without a finished block, after which it is found out whether any worker is left


class ClusterMaker:
    """Makes blocks by the workers of a cluster, which have been compared with this process and given `job`."""

    def __init__(self, client: Client, job: Job) -> None:
        self._client, self._job = client, job

    def make(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> None:
        """Make the blocks `missing` (view, block), in any order; a block whose worker dies is made by another.

        Raises
        ------
        UserError
            If a worker that joined has other data, another teacher or other libraries.
        FailedError
            If no worker can make a block, or the scheduler is lost.
        """
        store = writer.store
        finished: SimpleQueue[Future] = SimpleQueue()
        todo, pending = iter(missing), set[Future]()
        workers: set[str] = set()
        try:
            with extraction_progress(store.layout, missing) as progress:
                pending.update(self._submit(store, islice(todo, BLOCKS_AHEAD), finished))
                while pending:
                    future, made = self._next(finished)
                    pending.discard(future)
                    writer.record_block(made.view, made.block, made.checksums, seconds=made.seconds)
                    workers.add(made.worker)
                    progress.note(f"view {made.view + 1}/{store.layout.views}, {len(workers)} workers")
                    progress.add_rows(len(store.layout.rows(made.block)))
                    progress.finish_block(made.view, made.block)
                    pending.update(self._submit(store, islice(todo, 1), finished))
        except (CancelledError, CommClosedError) as error:
            raise FailedError(
                "the scheduler of the cluster was lost. What is complete is kept; the same command goes on from there."
            ) from error
        finally:
            self._client.cancel(list(pending))
        writer.remove_partials()  # of workers that died

    def _submit(
        self, store: KnowledgeStore, blocks: Iterator[tuple[int, int]], finished: "SimpleQueue[Future]"
    ) -> Iterator[Future]:
        """Hand `blocks` to the scheduler; each future comes to `finished` when it is done."""
        for view, block in blocks:
            name = f"kcd-{self._job.key}-{view}-{block}"
            future = self._client.submit(make_block, self._job.key, store.identity, view, block, key=name)
            future.add_done_callback(finished.put)
            yield future

    def _next(self, finished: "SimpleQueue[Future]") -> tuple[Future, FinishedBlock]:
        """Wait for the next finished block; while no worker is left, say so once and go on waiting.

        dask makes a block again if its worker died before it sent its result.
        """
        future: Future | None = None
        said = False
        while True:
            try:
                future = future or finished.get(timeout=QUIET_SECONDS)
                return future, _result(future)
            except (Empty, TimeoutError):
                if future is not None and future.status == "error":
                    raise  # a TimeoutError of the worker's own
                if not said and self._client.status == "running" and not self._client.nthreads():
                    said = True
                    say("no worker is left; waiting for one to join (Ctrl-C: what is complete is kept)")


@contextmanager
def open_cluster_maker(client: Client, cluster: Cluster, extractor: Extractor) -> Iterator[ClusterMaker]:
    """Yield a maker over the workers of `client`, each of which has what this process has; free them at exit.

    Raises
    ------
    UserError
        If a worker differs, naming it and both sides of each difference.
    """
    require_same_libraries(client)
    config = _for_workers(extractor.config, cluster)
    visible = client.run(file_is_visible, str(config.teacher.weights)).values()
    weights = None if all(visible) else _weights_to_send(extractor)
    job = Job(
        key=uuid.uuid4().hex[:12],
        config=config,
        block_facts=block_facts(extractor),
        weights=None if weights is None else save(independent_tensors(weights.state)),
        facts={} if weights is None else weights.facts,
    )
    plugin = JobPlugin(job)
    client.register_plugin(plugin)
    try:
        for worker, answer in client.run(load_job, job.key, on_error="return").items():
            _require_loaded(worker, answer)
        yield ClusterMaker(client, job)
    finally:
        if client.status == "running":
            with suppress(OSError):  # the scheduler was lost a moment ago
                client.unregister_worker_plugin(plugin.name)


def require_same_libraries(client: Client) -> None:
    """Raise UserError if a worker has other libraries than this process.

    Names and versions are compared before anything is sent that another version might not even be able to read.
    """
    found = client.get_versions(packages=list(LIBRARIES))
    here = found["client"]["packages"]
    for worker, theirs in found["workers"].items():
        packages = theirs["packages"]
        names = [name for name in ("python", *LIBRARIES) if packages.get(name) != here.get(name)]
        if names:
            differ = "\n".join(f"  {name}: found {packages.get(name)}, expected {here.get(name)}" for name in names)
            raise UserError(
                f"worker {worker} has other libraries than this command, so it gets no blocks (found: the worker, "
                f"expected: here):\n{differ}\nInstall the same on both, or take that worker out of the cluster."
            )


def _for_workers(config: Config, cluster: Cluster) -> Config:
    """Return the recipe with absolute paths, for workers run in other folders, and with their number of threads."""
    weights = config.teacher.weights
    changed = {
        "data": {"root": config.data.root.absolute()},
        "teacher": {"weights": weights.absolute() if weights.is_file() else weights},
        "store": {"path": open_storage(config.store.path).absolute_name},
        "run": {"threads": cluster.threads_per_worker(config.run.threads)},
    }
    sections = {name: getattr(config, name).model_copy(update=update) for name, update in changed.items()}
    return config.model_copy(update=sections)


def _weights_to_send(extractor: Extractor) -> Weights:
    """Return the teacher's weights: those of its file, or of the model if they are published.

    The state dict of the file is sent as it is there, so that its hash stays the one that the store records.
    """
    path = extractor.config.teacher.weights
    if path.is_file():
        return load_weights(path)
    return Weights(state=whole_model(extractor.model).state_dict(), facts={})


def _require_loaded(worker: str, answer: Any) -> None:
    """Raise the error, if it is one, that `load_job` answered on a worker."""
    if isinstance(answer, UserError | FailedError | StoreError):
        raise answer
    if isinstance(answer, BaseException):
        raise FailedError(
            f"worker {worker} cannot make blocks: {type(answer).__name__}: {answer}. Repair it, or take it out of the "
            f"cluster."
        ) from answer


def _result(future: Future) -> FinishedBlock:
    """Return the result of a future that is done, or raise its error."""
    try:
        made: FinishedBlock = future.result(timeout=QUIET_SECONDS)
    except KilledWorker as error:
        raise FailedError(
            f"a block was given up: {error}. Most often workers die of a lack of memory, for each holds the data set, "
            f"the teacher and a block: use fewer, or smaller ones (store.block_rows). What is complete is kept."
        ) from error
    return made
