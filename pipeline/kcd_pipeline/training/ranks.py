"""The processes ("ranks") that train one student together: how they join, exchange results and end.

torchrun and accelerate launch start them and describe them in environment variables; a process without these variables
trains alone. Rank 0 does what must be done once: it holds the run's lock, writes files, condenses and prints.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.distributed.rendezvous import rendezvous

from kcd_pipeline.config import RunConfig
from kcd_pipeline.errors import EndedElsewhereError, FailedError, UserError
from kcd_pipeline.progress import keep_quiet
from kcd_pipeline.training.launch import Launch, read_launch
from kcd_stores import ONLY_RANK, Share
from kcd_stores.scratch import pieces

T = TypeVar("T")

NO_STEP = object()  # what follows the last step

RANK_WAIT_SECONDS = 600  # long enough for rank 0 to condense, or for a slow disk
JOIN_SECONDS = 120  # in which launchers have started all ranks; variables left over from another launch lead nowhere
PATIENCE_VARIABLE = "KCD_RANKS_PATIENCE"


def rank_wait(usual: int = RANK_WAIT_SECONDS) -> timedelta:
    """Return how long a rank waits for another: KCD_RANKS_PATIENCE seconds, by default `usual`.

    Raises
    ------
    UserError
        If the environment variable is not a number above 0.
    """
    found = os.environ.get(PATIENCE_VARIABLE, str(usual))
    if not (found.isascii() and found.isdecimal() and 0 < int(found[:10]) < 10**7):
        raise UserError(
            f"the variable {PATIENCE_VARIABLE} is '{found}', expected a number of seconds such as {RANK_WAIT_SECONDS}. "
            f"Set it to one, or unset it."
        )
    return timedelta(seconds=int(found))


class Ranks:
    """This process among the ranks that train together.

    Attributes
    ----------
    share
        Its number, the number of all ranks, and with them its part of each batch.
    """

    def __init__(self, share: Share = ONLY_RANK) -> None:
        self.share = share

    @classmethod
    def current(cls) -> "Ranks":
        """Return the ranks that this process has joined; `ALONE` if it has joined none."""
        if not distributed.is_initialized():
            return ALONE
        return cls(Share(rank=distributed.get_rank(), ranks=distributed.get_world_size()))

    @property
    def is_first(self) -> bool:
        """True on rank 0, and on a process that is alone."""
        return self.share.rank == 0

    @property
    def several(self) -> bool:
        """True if there are other ranks."""
        return self.share.ranks > 1

    def run_on_first(self, action: Callable[[], T]) -> T:
        """Run `action` on rank 0 and return its result on every rank. All ranks must call this, and all wait.

        Raises
        ------
        EndedElsewhereError
            On the other ranks, if the action failed on rank 0, which raises the error itself.
        """
        if not self.several:
            return action()
        message: list[Any] = [None, None]  # the name of an error, the result
        if self.is_first:
            try:
                message[1] = action()
            except Exception as error:
                message[0] = type(error).__name__
                distributed.broadcast_object_list(message)
                raise
        distributed.broadcast_object_list(message)
        if message[0] is not None:
            raise EndedElsewhereError(f"rank 0 has ended: {message[0]}")
        result: T = message[1]
        return result

    def go_through_on_first(self, make_steps: Callable[[], Iterator[object]]) -> None:
        """Go through the steps that `make_steps` returns on rank 0. All ranks must call this, and all wait.

        No rank waits longer at a time than one step takes, so that the whole may take longer than ranks wait.

        Raises
        ------
        EndedElsewhereError
            On the other ranks, if a step failed on rank 0, which raises the error itself.
        """
        steps = make_steps() if self.is_first else iter(())
        while not self.run_on_first(lambda: next(steps, NO_STEP) is NO_STEP):
            pass

    def add_up(self, *tensors: Tensor) -> None:
        """Replace each tensor, in place, by its sum over all ranks; exact where at most one rank has not zero."""
        if self.several:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def copy_from_first(self, arrays: Iterable[NDArray[Any]]) -> None:
        """Make the `arrays` of every rank, one after the other, equal to those of rank 0, which are as long.

        They are sent piece by piece.
        """
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        for array in arrays:
            for piece in pieces(len(array)):
                part = torch.from_numpy(array[piece].copy()).to(device)
                distributed.broadcast(part, src=0)
                if not self.is_first:
                    array[piece] = part.cpu().numpy()

    def share_buffers(self, buffers: Iterable[Tensor]) -> None:
        """Give every rank the buffers of rank 0's model, such as batch norm's running statistics."""
        if self.several:
            for buffer in buffers:
                distributed.broadcast(buffer, src=0)


ALONE = Ranks()


@contextmanager
def join_ranks(run: RunConfig) -> Iterator[Ranks]:
    """Join the ranks that were started with this process, and leave them at the end; do nothing if already joined.

    Raises
    ------
    UserError
        If they cannot work together as `run` asks, or the variables of their launcher are not whole.
    FailedError
        If one of them does not join, ends, or does not answer in time.
    """
    launch = read_launch(os.environ)
    if launch is None or distributed.is_initialized():
        yield Ranks.current()
        return
    if launch.rank:
        keep_quiet()
    try:
        _join(launch, run)
        yield Ranks.current()
    except RuntimeError as error:
        if not _is_exchange_error(error):
            raise
        raise FailedError(
            f"another rank has ended or does not answer, so rank {launch.rank} of {launch.ranks} ends as well "
            f"({_first_line(error)}). If the other rank printed an error, that is the reason. Everything that was "
            f"complete is kept: the same command goes on from there, with any number of ranks."
        ) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _join(launch: Launch, run: RunConfig) -> None:
    """Meet the other ranks where `launch` says, and join them.

    Raises
    ------
    FailedError
        If they do not all come within the time of `rank_wait`, or what answers there is something else.
    """
    backend, patience = _backend(run, launch), rank_wait(JOIN_SECONDS)
    try:
        store, rank, ranks = next(rendezvous("env://", timeout=patience))
        store.set_timeout(rank_wait())
    except (distributed.DistError, OSError, ValueError) as error:
        raise FailedError(
            f"rank {launch.rank} of {launch.ranks} could not join the others at {launch.address}:{launch.port} within "
            f"{patience.total_seconds():.0f} s ({_first_line(error)}). Either not all of them were started, or "
            f"MASTER_ADDR and MASTER_PORT are left over from another launch: unset them and WORLD_SIZE to train in one "
            f"process. If ranks start further apart, set {PATIENCE_VARIABLE} to more seconds."
        ) from error
    distributed.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=rank_wait())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _backend(run: RunConfig, launch: Launch) -> str:
    """Return `nccl` for ranks on GPUs, and give this rank its GPU; `gloo` for ranks on the CPU.

    Raises
    ------
    UserError
        If there are fewer GPUs than ranks on this machine.
    """
    if run.device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    gpus = torch.cuda.device_count()
    if launch.local_rank >= gpus:
        raise UserError(
            f"rank {launch.local_rank} of this machine has no GPU of its own: there are {gpus}. Launch as many "
            f"processes as there are GPUs, or set run.device to cpu."
        )
    torch.cuda.set_device(launch.local_rank)
    return "nccl"


def _is_exchange_error(error: RuntimeError) -> bool:
    """Return True if the exchange between ranks failed, False if what they compute did."""
    text = str(error).lower()
    return isinstance(error, distributed.DistError) or "gloo" in text or "nccl" in text
