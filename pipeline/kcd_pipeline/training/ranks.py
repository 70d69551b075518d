"""The processes ("ranks") that train one student together: who is who, what they tell each other, how they end.

torchrun and accelerate launch start them and say so in the environment; a process that nobody started so is alone. Rank
0 does what must be done once: it holds the run's lock, writes, condenses and speaks.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from kcd_pipeline.config import RunConfig
from kcd_pipeline.errors import EndedElsewhereError, FailedError, UserError
from kcd_pipeline.progress import keep_quiet
from kcd_stores import ONLY_RANK, Share

T = TypeVar("T")

RANK_WAIT_SECONDS = 600  # seconds that a rank waits for the others, such as for a condensation or a slow disk


def started_ranks() -> int:
    """R, the number of ranks that this process was started with; 1 where it was started alone.

    Raises
    ------
    UserError
        If the environment says something that is no number.
    """
    found = os.environ.get("WORLD_SIZE", "1")
    if not found.isdecimal() or not int(found):
        raise UserError(f"the variable WORLD_SIZE is '{found}', expected a number of processes. Unset it")
    return int(found)


def rank_wait() -> timedelta:
    """How long a rank waits for another: KCD_RANKS_PATIENCE seconds, or ten minutes.

    Raises
    ------
    UserError
        If that is no number.
    """
    found = os.environ.get("KCD_RANKS_PATIENCE", str(RANK_WAIT_SECONDS))
    if not found.isdecimal() or not int(found):
        raise UserError(f"the variable KCD_RANKS_PATIENCE is '{found}', expected seconds such as {RANK_WAIT_SECONDS}")
    return timedelta(seconds=int(found))


class Ranks:
    """This process among those that train together."""

    def __init__(self, share: Share = ONLY_RANK) -> None:
        self.share = share

    @classmethod
    def current(cls) -> "Ranks":
        """Those that this process has been joined with; itself alone, where it was not."""
        if not distributed.is_initialized():
            return ALONE
        return cls(Share(rank=distributed.get_rank(), ranks=distributed.get_world_size()))

    @property
    def is_first(self) -> bool:
        """This is rank 0, or alone."""
        return self.share.rank == 0

    @property
    def several(self) -> bool:
        """There are others."""
        return self.share.ranks > 1

    def run_on_first(self, action: Callable[[], T]) -> T:
        """What `action` gives when rank 0 does it, for every rank; all must ask for it, and all wait for it.

        Raises
        ------
        EndedElsewhereError
            On the others, if it failed on rank 0, which raises the error itself.
        """
        if not self.several:
            return action()
        told: list[Any] = [None, None]
        if self.is_first:
            try:
                told[1] = action()
            except Exception as error:
                told[0] = type(error).__name__
                distributed.broadcast_object_list(told)
                raise
        distributed.broadcast_object_list(told)
        if told[0] is not None:
            raise EndedElsewhereError(f"rank 0 has ended: {told[0]}")
        result: T = told[1]
        return result

    def add_up(self, *tensors: Tensor) -> None:
        """Replace each by the sum over all ranks; exact where only one of them is not zero."""
        if self.several:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def share_buffers(self, model: nn.Module) -> None:
        """Give every rank the buffers of rank 0, such as batch norm's running statistics."""
        if self.several:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


ALONE = Ranks()


@contextmanager
def join_ranks(run: RunConfig) -> Iterator[Ranks]:
    """Find the ranks that were started with this process, and part from them at the end; once within it, it is free.

    Raises
    ------
    UserError
        If they cannot work together as `run` asks.
    FailedError
        If one of them does not come, or ends, or does not answer in time.
    """
    if started_ranks() == 1 or distributed.is_initialized():
        yield Ranks.current()
        return
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        keep_quiet()
    try:
        distributed.init_process_group(_backend(run), timeout=rank_wait())
        yield Ranks.current()
    except RuntimeError as error:
        if not _is_of_ranks(error):
            raise
        raise FailedError(
            f"another rank has ended or does not answer, so rank {rank} of {started_ranks()} ends as well "
            f"({str(error).strip().splitlines()[0][:200]}). If the other one has said why, that is the reason. What "
            f"was complete before is kept: the same command with --resume goes on, with as many ranks as you like."
        ) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _backend(run: RunConfig) -> str:
    """nccl among GPUs, each rank with its own; gloo among CPUs."""
    if run.device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= there:
        raise UserError(
            f"rank {local} of this machine has no GPU of its own: there are {there}. Launch as many processes as there "
            f"are GPUs, or set run.device to cpu."
        )
    torch.cuda.set_device(local)
    return "nccl"


def _is_of_ranks(error: RuntimeError) -> bool:
    """An error of the exchange between ranks, not of what they compute."""
    said = str(error).lower()
    return isinstance(error, distributed.DistError) or "gloo" in said or "nccl" in said
