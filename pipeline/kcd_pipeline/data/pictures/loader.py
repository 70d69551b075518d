"""Views of pictures on disk, decoded and augmented by the workers of torch's DataLoader ahead of the training loop.

The order of an epoch is known before it begins. So workers are handed requests, pieces of batches, in that order, and
return them in that order. A view is a pure function of (seed, sample, view): the number of workers, how far they run
ahead and which of them makes a piece change no pixel.
"""

import math
import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from kcd_pipeline.augmentation import Normaliser
from kcd_pipeline.data.pictures.handover import Made, MakeViews, Pieces, Request, shared_places
from kcd_pipeline.errors import FailedError
from kcd_pipeline.freed_memory import give_back_freed_memory

PIECE = 32  # pictures in a request; with whole batches the others would wait for the worker that makes the first
REQUESTS_AHEAD = 4  # requests that each worker makes ahead
AHEAD_BYTES = 256 * 2**20  # pixels that all workers together make ahead; the larger a picture, the fewer in a request
POLL_SECONDS = 5.0  # after so long without a piece it is looked whether the workers are alive
POLLS = 120  # after so many of these a pass is given up; the time in which this process is stopped does not count


class PictureViews:
    """A `ViewSource` over pictures on disk.

    Parameters
    ----------
    make_views
        Makes the views of a piece, one by one. It must be picklable where workers are spawned.
    size
        Number of samples.
    shape
        [C, H, W] of a view.
    workers
        Processes that make views ahead; with 0 the calling process makes them.
    mean, std
        Per channel, of pixels scaled to 0..1.
    device
        Where normalisation runs and batches lie.
    """

    def __init__(
        self,
        make_views: MakeViews,
        *,
        size: int,
        shape: Sequence[int],
        workers: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self._make_views, self._size, self._shape, self._workers = make_views, size, tuple(shape), workers
        self._piece, self._ahead = read_ahead(math.prod(shape), workers)
        self._requests = _RequestSampler()
        self._normalise = Normaliser(mean=mean, std=std, device=device)
        self._pinned = device.type == "cuda"
        self._has_started: bool
        self._loader, self._places = self._new_loader()

    def __len__(self) -> int:
        return self._size

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return views of samples `index[B]`, made by this process: float32 `[B, C, H, W]`.

        Raises
        ------
        UserError
            If a picture cannot be read.
        ValueError
            If the augmentation does not fit images of this size.
        """
        made = Pieces(self._make_views, self._shape, None)[0, index, _views(view, index)]
        return self._normalise(_pixels(made, None))

    def batches(
        self, index_batches: Sequence[NDArray[np.int64]], view: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield each `index[B]` of `index_batches` with its views, made ahead by the workers.

        Raises
        ------
        UserError
            If a picture cannot be read.
        ValueError
            If the augmentation does not fit images of this size.
        FailedError
            If a worker died, or nothing was handed over for ten minutes.
        """
        cut = [[index[at : at + self._piece] for at in range(0, len(index), self._piece)] for index in index_batches]
        pieces = (piece for batch in cut for piece in batch)
        count = 1 if self._places is None else len(self._places)
        self._requests.upcoming = [(k % count, piece, _views(view, piece)) for k, piece in enumerate(pieces)]
        made, number = self._started(), 0
        try:
            for index in index_batches:
                batch = torch.empty(
                    (len(index), *self._shape),
                    dtype=torch.uint8,
                    pin_memory=self._pinned,
                    memory_format=torch.channels_last,
                )
                for part in batch.split(self._piece):
                    # copied at once: with the next piece that is asked for, a worker may be handed this place
                    part.copy_(_pixels(_next(made), None if self._places is None else self._places[number % count]))
                    number += 1
                yield index, self._normalise(batch)
        except BaseException:  # also GeneratorExit, if the caller stops before the end
            del made  # the last reference beside the loader's: workers end now, not at the next garbage collection
            self._loader, self._places = self._new_loader()
            raise

    def _started(self) -> Iterator[Made]:
        try:
            if self._workers:  # where torch's loader fails to make such a queue, it prints a traceback of its own
                multiprocessing.get_context().Queue()
                if not self._has_started:  # it forks now, and its workers stay
                    give_back_freed_memory()
                    self._has_started = True
            return iter(self._loader)
        except OSError as error:  # of a semaphore or a process that cannot be made
            raise FailedError(
                f"the processes that decode images cannot be started: {error}. /dev/shm may be full, or the number of "
                f"processes or open files at its limit. Lower data.workers, or set it to 0 to decode without them."
            ) from error

    def _new_loader(self) -> tuple[DataLoader[Any], NDArray[np.uint8] | None]:
        """Return a loader whose workers start with the first pass and stay for the next ones, and their places.

        There is a place for each request that the loader gives out ahead, and for the piece that is being taken.
        """
        self._has_started = False
        places = None
        if self._workers:
            places = shared_places(self._workers * self._ahead + 1, self._piece, self._shape)
        loader = DataLoader(
            Pieces(self._make_views, self._shape, places),
            batch_size=None,  # an item is a whole request
            sampler=self._requests,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            prefetch_factor=self._ahead if self._workers else None,
            timeout=POLL_SECONDS if self._workers else 0,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # torch's global generator is for initial weights alone
        )
        return loader, places


class _RequestSampler(Sampler[Request]):
    """The requests of the next pass: set before it begins, and read by the loader as it runs ahead."""

    def __init__(self) -> None:
        self.upcoming: Sequence[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.upcoming)


def read_ahead(picture_bytes: int, workers: int) -> tuple[int, int]:
    """Return the pictures of a request, and the requests that each worker makes ahead.

    All of them together stay within AHEAD_BYTES, unless a single picture for each worker does not.
    """
    each = AHEAD_BYTES // (max(workers, 1) * picture_bytes)  # pictures that a worker may make ahead
    return min(max(each // REQUESTS_AHEAD, 1), PIECE), min(max(each, 1), REQUESTS_AHEAD)


def _views(view: ArrayLike, index: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.broadcast_to(np.asarray(view, np.int64), index.shape)


def _next(made: Iterator[Made]) -> Made:
    for _ in range(POLLS):
        try:
            return next(made)
        except RuntimeError as error:
            if not str(error).startswith("DataLoader timed out"):
                raise FailedError(
                    f"a process that decodes images has died: {error}. It may have run out of memory: lower "
                    f"data.workers, or set it to 0 to decode without one."
                ) from error
    raise FailedError(
        f"the processes that decode images have handed over nothing for {POLLS * POLL_SECONDS:.0f} seconds, although "
        f"they are alive. Perhaps the disk at data.root does not answer. If it does, set data.workers to 0, to decode "
        f"without them."
    )


def _pixels(made: Made, place: NDArray[np.uint8] | None) -> Tensor:
    """Return `[P, C, H, W]` uint8 that lies in `place` or is `made` itself; raise it if it is an error."""
    if isinstance(made, Exception):
        raise made
    if isinstance(made, int):
        assert place is not None
        made = place[:made]
    return torch.from_numpy(made).permute(0, 3, 1, 2)


def _unchanged(made: Any) -> Any:
    return made
