"""The dask cluster that an extraction runs on: one of this machine's own, made for it, or one that runs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kcd_pipeline.errors import UserError

PATIENCE = 10  # seconds that a scheduler may take to answer
JOINING = 30  # seconds in which a worker must have come to a scheduler that has none
SILENT = logging.CRITICAL + 1  # dask calls a connection that ends with Ctrl-C critical; what matters is said by us


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`workers` processes of this machine, or the workers of the `scheduler` at an address: one of the two."""

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if (self.workers is None) == (self.scheduler is None):
            raise ValueError(f"a cluster is workers or a scheduler, got {self.workers} and {self.scheduler}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")

    def threads(self, wanted: int | None) -> int | None:
        """CPU threads of each worker: what `run.threads` says, else an even share of this machine's cores.

        None, torch's own choice, on a scheduler whose workers may be on any machine.
        """
        if wanted is not None or self.workers is None:
            return wanted
        return max(len(os.sched_getaffinity(0)) // self.workers, 1)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A `distributed.Client` of it; what was started for it is ended with it.

        Raises
        ------
        UserError
            If the scheduler does not answer, or has no workers.
        """
        opened = _own(self.workers) if self.scheduler is None else _running(self.scheduler)
        with opened as client:
            yield client


@contextmanager
def _own(workers: int | None) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    settings = {
        # daemons may have no children: data.workers decode pictures. Workers end with this process all the same.
        "distributed.worker.daemon": False,
        # not its MALLOC_TRIM_THRESHOLD_: memory returned at once, and on small images a teacher two fifths slower
        "distributed.nanny.pre-spawn-environ": {},
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # its health page, which it always serves, nowhere but on loopback
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            preload=["kcd_pipeline.extraction.worker"],  # its dask_setup
            memory_limit=0,  # what a worker takes is known: the data set, the teacher, a block
            silence_logs=SILENT,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _running(address: str) -> Iterator[Any]:
    from kcd_pipeline.extraction.client import TidyClient

    for name in ("distributed.core", "distributed.comm", "distributed.client"):
        logging.getLogger(name).setLevel(SILENT)
    try:
        client = TidyClient(address, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(
            f"no dask scheduler answers at {address} within {PATIENCE} s ({error}). Start one (`dask scheduler`), mend "
            f"--scheduler, or use --workers N for processes of this machine."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=JOINING)
        except TimeoutError as error:
            raise UserError(
                f"the dask scheduler at {address} has no workers, and none came within {JOINING} s. Start some: "
                f"`dask worker {address} --nthreads 1` where kcd-pipeline is installed."
            ) from error
        yield client
