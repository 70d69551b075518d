"""The command's side of an extraction on a dask cluster: workers checked, blocks handed out, what is done recorded.

Workers write data; this process alone, which holds the store's lock, records what counts: a view's record is one file.
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
from kcd_pipeline.extraction.extractor import Extractor
from kcd_pipeline.extraction.tally import tally
from kcd_pipeline.extraction.worker import Job, JobPlugin, Made, facts, make_block, report, sees
from kcd_pipeline.models.weights import load_weights
from kcd_pipeline.progress import say
from kcd_stores import KnowledgeWriter, StoreError, open_storage

LIBRARIES = ("kcd-pipeline", "torch", "torchvision", "numpy", "pillow", "zarr", "numcodecs")
AHEAD = 512  # blocks handed to the scheduler at a time: more than workers there are, less than a scheduler feels
SILENCE = 5.0  # seconds without a block after which it is looked whether there are workers at all


class Crew:
    """The workers of a cluster, checked and given a job."""

    def __init__(self, client: Client, job: Job) -> None:
        self._client, self._job = client, job

    def make(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> None:
        """Make the blocks `missing`, in any order; a block whose worker dies is made by another.

        Raises
        ------
        UserError
            If a worker that joined has other data, teacher or libraries.
        FailedError
            If a block cannot be made, whoever tries, or the scheduler is lost.
        """
        store = writer.store
        ended: SimpleQueue[Future] = SimpleQueue()
        todo, pending = iter(missing), set()
        makers: set[str] = set()

        def hand_out(count: int) -> None:
            for view, block in islice(todo, count):
                name = f"kcd-{self._job.key}-{view}-{block}"
                future = self._client.submit(make_block, self._job.key, store.identity, view, block, key=name)
                pending.add(future)
                future.add_done_callback(ended.put)

        try:
            with tally(store.layout, missing) as done:
                hand_out(AHEAD)
                while pending:
                    future, made = self._next(ended)
                    pending.discard(future)
                    writer.record_block(made.view, made.block, seconds=made.seconds)
                    makers.add(made.worker)
                    done.note(f"view {made.view + 1}/{store.layout.views}, {len(makers)} workers")
                    done.rows(len(store.layout.rows(made.block)))
                    done.block(made.view, made.block)
                    hand_out(1)
        except (CancelledError, CommClosedError) as error:
            raise FailedError(
                "the scheduler of the cluster was lost. What is complete is kept; the same command goes on from there."
            ) from error
        finally:
            self._client.cancel(list(pending))
        writer.remove_partials()  # of workers that died

    def _next(self, ended: "SimpleQueue[Future]") -> tuple[Future, Made]:
        """The next block that is made; what a worker had made but not yet told when it died, is made again."""
        future: Future | None = None
        said = False
        while True:
            try:
                future = future or ended.get(timeout=SILENCE)
                return future, _result(future)
            except (Empty, TimeoutError):
                if future is not None and future.status == "error":
                    raise  # the worker's own
                if not said and self._client.status == "running" and not self._client.nthreads():
                    said = True
                    say("no worker is left; waiting for one to join (Ctrl-C: what is complete is kept)")


@contextmanager
def enlisted(client: Client, cluster: Cluster, extractor: Extractor) -> Iterator[Crew]:
    """The workers of `client`, once each has shown that it has what this process has; let go at the end.

    Raises
    ------
    UserError
        Naming a worker and both sides of each difference.
    """
    _require_same_libraries(client)
    config = _for_workers(extractor.config, cluster)
    seen = client.run(sees, str(config.teacher.weights)).values()
    job = Job(
        key=uuid.uuid4().hex[:12],
        config=config,
        facts=facts(extractor),
        weights=None if all(seen) else _weights(extractor),
    )
    plugin = JobPlugin(job)
    client.register_plugin(plugin)
    try:
        for worker, answer in client.run(report, job.key, on_error="return").items():
            _raise_if_unfit(worker, answer)
        yield Crew(client, job)
    finally:
        if client.status == "running":
            with suppress(OSError):  # the scheduler was lost a moment ago
                client.unregister_worker_plugin(plugin.name)


def _require_same_libraries(client: Client) -> None:
    """Compared by name and number, before anything is sent that other versions might not even read."""
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
    """The recipe as workers in other folders read it."""
    weights = config.teacher.weights
    changed = {
        "data": {"root": config.data.root.absolute()},
        "teacher": {"weights": weights.absolute() if weights.is_file() else weights},
        "store": {"path": open_storage(config.store.path).absolute_name},
        "run": {"threads": cluster.threads(config.run.threads)},
    }
    sections = {name: getattr(config, name).model_copy(update=update) for name, update in changed.items()}
    return config.model_copy(update=sections)


def _weights(extractor: Extractor) -> bytes:
    """The teacher's state dict as it is in its file; of a published one, as it is in the model."""
    path = extractor.config.teacher.weights
    state = load_weights(path)[0] if path.is_file() else extractor.model.state_dict()
    return save({name: tensor.cpu().contiguous() for name, tensor in state.items()})


def _raise_if_unfit(worker: str, answer: Any) -> None:
    if isinstance(answer, UserError | FailedError | StoreError):
        raise answer
    if isinstance(answer, BaseException):
        raise FailedError(
            f"worker {worker} cannot make blocks: {type(answer).__name__}: {answer}. Mend it, or take it out of the "
            f"cluster."
        ) from answer


def _result(future: Future) -> Made:
    try:
        made: Made = future.result(timeout=SILENCE)
    except KilledWorker as error:
        raise FailedError(
            f"a block was given up: {error}. Most often workers die of a lack of memory, for each holds the data set, "
            f"the teacher and a block: use fewer, or smaller ones (store.block_rows). What is complete is kept."
        ) from error
    return made
