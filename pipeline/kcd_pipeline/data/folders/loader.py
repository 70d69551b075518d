"""Views of pictures on disk, decoded and augmented by the workers of torch's DataLoader ahead of the training loop.

The order of an epoch is known before it begins. So workers are handed requests, pieces of batches, in that order, and
return them in that order. A view is a pure function of (seed, sample, view): the number of workers, how far they run
ahead and which of them makes a piece change no pixel.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kcd_pipeline.augmentation import Normaliser
from kcd_pipeline.errors import FailedError, UserError

PIECE = 32  # pictures in a request; with whole batches the others would wait for the worker that makes the first
REQUESTS_AHEAD = 4  # requests that each worker makes ahead

MakeView = Callable[[int, int], Tensor]  # (sample, view) -> uint8 [3, size, size]
Request = tuple[NDArray[np.int64], NDArray[np.int64]]  # samples and views, [B] each


class PictureViews:
    """A `ViewSource` over pictures on disk.

    Parameters
    ----------
    make_view
        Makes one view of one sample. It must be picklable where workers are spawned.
    size
        Number of samples.
    workers
        Processes that make views ahead; with 0 the calling process makes them.
    mean, std
        Per channel, of pixels scaled to 0..1.
    device
        Where normalisation runs and batches lie.
    """

    def __init__(
        self,
        make_view: MakeView,
        *,
        size: int,
        workers: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self._size, self._workers = size, workers
        self._requests, self._pieces = _RequestSampler(), _Pieces(make_view)
        self._normalise = Normaliser(mean=mean, std=std, device=device)
        self._pinned = device.type == "cuda"
        self._loader = self._new_loader()

    def __len__(self) -> int:
        return self._size

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return views of samples `index[B]`, made by this process: float32 `[B, 3, size, size]`.

        Raises
        ------
        UserError
            If a picture cannot be read.
        ValueError
            If the augmentation does not fit images of this size.
        """
        return self._normalise(_pixels_or_raise(self._pieces[_request(index, view)]))

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
            If a worker died.
        """
        pieces = [_cut(index) for index in index_batches]
        self._requests.upcoming = [_request(piece, view) for batch in pieces for piece in batch]
        made = iter(self._loader)
        try:
            for index, batch in zip(index_batches, pieces, strict=True):
                yield index, self._normalise(torch.cat([_pixels_or_raise(_next(made)) for _ in batch]))
        except BaseException:  # also GeneratorExit, if the caller stops before the end
            del made  # the last reference beside the loader's: workers end now, not at the next garbage collection
            self._loader = self._new_loader()
            raise

    def _new_loader(self) -> DataLoader[Any]:
        """Return a loader whose workers start with the first pass and stay for the next ones."""
        return DataLoader(
            self._pieces,
            batch_size=None,  # an item is a whole request
            sampler=self._requests,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            prefetch_factor=REQUESTS_AHEAD if self._workers else None,
            pin_memory=self._pinned,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # torch's global generator is for initial weights alone
        )


class _RequestSampler(Sampler[Request]):
    """The requests of the next pass: set before it begins, and read by the loader as it runs ahead."""

    def __init__(self) -> None:
        self.upcoming: Sequence[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.upcoming)


class _Pieces(Dataset[Any]):
    """Turns a request into pixels, in a worker.

    Errors are returned and not raised: torch would wrap them in a traceback.
    """

    def __init__(self, make_view: MakeView) -> None:
        self._make_view = make_view

    def __getitem__(self, request: Request) -> Tensor | UserError | ValueError:
        """Return uint8 `[B, 3, size, size]`, or the error that kept it from being made."""
        samples, views = request
        try:
            pairs = zip(samples.tolist(), views.tolist(), strict=True)
            return torch.stack([self._make_view(sample, view) for sample, view in pairs])
        except (UserError, ValueError) as error:
            return error


def _cut(index: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [index[start : start + PIECE] for start in range(0, len(index), PIECE)]


def _request(index: NDArray[np.int64], view: ArrayLike) -> Request:
    return index, np.broadcast_to(np.asarray(view, np.int64), index.shape)


def _next(made: Iterator[Any]) -> Any:
    try:
        return next(made)
    except RuntimeError as error:
        raise FailedError(
            f"a process that decodes images has died: {error}. It may have run out of memory (or of /dev/shm): lower "
            f"data.workers, or set it to 0 to decode without one."
        ) from error


def _pixels_or_raise(made: Tensor | UserError | ValueError) -> Tensor:
    if isinstance(made, Exception):
        raise made
    return made


def _unchanged(made: Any) -> Any:
    return made
