"""The number of runs that this machine bears at a time, by its cores, its GPUs and its memory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from kcd_pipeline.config import Config
from kcd_stores import human_bytes, parse_bytes

# CPU threads of a run whose recipe does not say. The last bits of a result may depend on them, so they must not depend
# on how many runs there are at a time.
THREADS = 1
PROCESS_BYTES = 700 * 2**20  # of a run beside its rows: torch, a small model and data set, as measured


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The places for runs on this machine.

    Attributes
    ----------
    jobs
        The number of runs at a time.
    gpus
        The GPUs, as CUDA_VISIBLE_DEVICES names them, which runs take in turn; empty without any.
    reason
        Words for a line that says why there are so many.
    """

    jobs: int
    gpus: tuple[str, ...] = ()
    reason: str

    def variables(self, place: int) -> dict[str, str]:
        """Return the environment variables of the run in `place` (0-based): it sees one GPU."""
        return {"CUDA_VISIBLE_DEVICES": self.gpus[place % len(self.gpus)]} if self.gpus else {}


def measure_capacity(configs: Sequence[Config], jobs: int | None) -> Capacity:
    """Return the capacity of this machine for runs of `configs`; `jobs` takes the place of its own choice."""
    gpus = _gpus(configs)
    if jobs is not None:
        return Capacity(jobs=jobs, gpus=gpus, reason="--jobs")
    if gpus:
        return Capacity(jobs=len(gpus), gpus=gpus, reason="one a GPU")
    return _by_cores_and_memory(
        cores=_cores(),
        threads=max(config.run.threads or THREADS for config in configs),
        free=_free_bytes(),
        bytes_of_a_run=max(PROCESS_BYTES + parse_bytes(config.store.memory) for config in configs),
    )


def _by_cores_and_memory(*, cores: int, threads: int, free: int, bytes_of_a_run: int) -> Capacity:
    by_cores, by_memory = max(cores // threads, 1), max(free // bytes_of_a_run, 1)
    if by_memory < by_cores:
        reason = f"{human_bytes(free)} of memory are free, and a run may take {human_bytes(bytes_of_a_run)}"
    else:
        reason = f"{cores} cores, {threads} {'thread' if threads == 1 else 'threads'} a run"
    return Capacity(jobs=min(by_cores, by_memory), reason=reason)


def _gpus(configs: Sequence[Config]) -> tuple[str, ...]:
    """Return the GPUs that runs of `configs` would use, as CUDA_VISIBLE_DEVICES names them."""
    if all(config.run.device in ("cpu", "mps") for config in configs):
        return ()
    import torch  # takes seconds, which a study on a CPU need not wait for

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named[:count] if named else map(str, range(count)))


def _cores() -> int:
    from dask.system import CPU_COUNT  # heeds the limits of a container

    return int(CPU_COUNT)


def _free_bytes() -> int:
    """Return the memory that processes may still take, in bytes."""
    import psutil
    from distributed.system import memory_limit  # of a container too

    return int(min(psutil.virtual_memory().available, memory_limit()))
