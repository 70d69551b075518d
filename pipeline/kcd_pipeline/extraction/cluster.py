"""The dask cluster that an extraction runs on: processes started for it on this machine, or a cluster that runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.training.device import available_cores
from kcd_pipeline.training.interrupts import interrupts_deferred

CONNECT_SECONDS = 10  # that a scheduler may take to answer
FIRST_WORKER_SECONDS = 30  # in which a worker must join a scheduler that has none
# dask logs as critical a connection that ends with Ctrl-C; all that matters to a user is said by this program
ABOVE_CRITICAL = logging.CRITICAL + 1


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A dask cluster: either `workers` processes of this machine, or the workers of the `scheduler` at an address."""

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if (self.workers is None) == (self.scheduler is None):
            raise ValueError(f"a cluster is workers or a scheduler, got {self.workers} and {self.scheduler}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")

    def threads_per_worker(self, wanted: int | None) -> int | None:
        """Return the CPU threads of each worker: `wanted` (`run.threads`), else an even share of this machine's cores.

        None leaves the choice to torch, as on a scheduler, whose workers may be on any machine.
        """
        if wanted is not None or self.workers is None:
            return wanted
        return max(available_cores() // self.workers, 1)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Yield a `distributed.Client` of the cluster; end at exit whatever was started for it.

        Raises
        ------
        UserError
            If the scheduler does not answer, or has no workers.
        """
        if self.scheduler is None:
            with _start_workers(self.workers) as client:
                yield client
        else:
            with _connect_to(self.scheduler) as client:
                yield client


@contextmanager
def _start_workers(workers: int | None) -> Iterator[Any]:
    from kcd_pipeline.dask_settings import settings_of_own_cluster

    with settings_of_own_cluster():
        from distributed import Client

        with _local_cluster(workers) as cluster, Client(cluster, set_as_default=False) as client:
            yield client


def _local_cluster(workers: int | None) -> Any:
    """Start a `distributed.LocalCluster` that only this process can give work to.

    Raises
    ------
    FailedError
        If its processes do not start.
    """
    from distributed import LocalCluster

    try:
        with interrupts_deferred():  # dask cannot close a cluster that has only half begun
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=2,  # one computes a block while the other writes the one before
                processes=True,
                host="127.0.0.1",
                security=True,  # keys of its own, in memory: without, any user of this machine could have it run code
                dashboard_address=None,
                # dask always serves its health page: on loopback only
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                preload=["kcd_pipeline.extraction.worker"],  # for its dask_setup
                memory_limit=0,  # no limit, for it is known what a worker takes: the data set, the teacher, a block
                silence_logs=ABOVE_CRITICAL,
            )
    except (RuntimeError, OSError, TimeoutError) as error:
        raise FailedError(
            f"the {workers} processes of --workers could not be started: {error}. Their messages, if they had any, are "
            f"above. Ask for fewer, or leave --workers out."
        ) from error


@contextmanager
def _connect_to(address: str) -> Iterator[Any]:
    from kcd_pipeline import dask_settings  # noqa: F401  # before dask itself
    from kcd_pipeline.extraction.client import TidyClient

    for name in ("distributed.core", "distributed.comm", "distributed.client"):
        logging.getLogger(name).setLevel(ABOVE_CRITICAL)
    try:
        client = TidyClient(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise UserError(
            f"no dask scheduler answers at {address} within {CONNECT_SECONDS} s ({error}). Start one (`dask "
            f"scheduler`), correct --scheduler, or use --workers N for processes of this machine. One that uses TLS "
            f"(tls://...) needs the same certificates here: distributed.comm.tls in dask's configuration."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=FIRST_WORKER_SECONDS)
        except TimeoutError as error:
            raise UserError(
                f"the dask scheduler at {address} has no workers, and none joined within {FIRST_WORKER_SECONDS} s. "
                f"Start some: `dask worker {address} --nthreads 1` where kcd-pipeline is installed."
            ) from error
        yield client
