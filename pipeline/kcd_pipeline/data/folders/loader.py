"""Views of pictures on disk, decoded and augmented by torch's DataLoader workers ahead of the training loop.

The order of an epoch is known before it begins, so workers are told pieces of batches in that order, and hand them back
in that order. A view is a pure function of (seed, sample, view): how many workers there are, how far they run ahead and
who makes which piece changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kcd_pipeline.augmentation import Augmentation, Normaliser
from kcd_pipeline.errors import FailedError, UserError

if TYPE_CHECKING:  # a split makes its views: at run time the one imports the other
    from kcd_pipeline.data.folders.on_disk import PictureSplit

PIECE = 32  # pictures that a worker makes at a time: a whole batch of one worker would let the others wait for it
AHEAD = 4  # pieces that each worker makes ahead

Request = tuple[NDArray[np.int64], NDArray[np.int64]]  # samples and views, [B] each


class _Requests(Sampler[Request]):
    """What is asked for next: set before each pass, read by the loader as it runs ahead."""

    def __init__(self) -> None:
        self.next: Sequence[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.next)


class _Batches(Dataset[Any]):
    """What runs in a worker: a request to pixels. Errors come back as values, for torch would wrap a traceback."""

    def __init__(self, split: "PictureSplit", augmentation: Augmentation) -> None:
        self._split, self._augmentation = split, augmentation

    def __getitem__(self, request: Request) -> Tensor | UserError | ValueError:
        """uint8 `[B, 3, size, size]`."""
        samples, views = request
        try:
            pairs = zip(samples.tolist(), views.tolist(), strict=True)
            return torch.stack([self._split.view(sample, view, self._augmentation) for sample, view in pairs])
        except (UserError, ValueError) as error:
            return error


class PictureViews:
    """Batches of a split's pictures as a model's input; see `ViewSource`."""

    def __init__(
        self,
        split: "PictureSplit",
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self._size = len(split)
        self._requests, self._made = _Requests(), _Batches(split, augmentation)
        self.normalised = Normaliser(mean=mean, std=std, device=device)
        self._workers, self._pinned = split.workers, device.type == "cuda"
        self._loader = self._new_loader()

    def __len__(self) -> int:
        return self._size

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Samples `index[B]` as their `view`, made by this process: float32 `[B, 3, size, size]`.

        Raises
        ------
        UserError
            If a picture cannot be read.
        ValueError
            If the augmentation does not fit images of this size.
        """
        return self.normalised(_pixels(self._made[_request(index, view)]))

    def batches(self, cut: Sequence[NDArray[np.int64]], view: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Each `index[B]` of `cut` in turn, with its views, made ahead by the workers.

        Raises
        ------
        UserError, ValueError
            As `batch`.
        FailedError
            If a worker died.
        """
        pieces = [_pieces(index) for index in cut]
        self._requests.next = [_request(piece, view) for batch in pieces for piece in batch]
        made = iter(self._loader)
        try:
            for index, batch in zip(cut, pieces, strict=True):
                yield index, self.normalised(torch.cat([_pixels(_next(made)) for _ in batch]))
        except BaseException:  # also when whoever asked goes away before the end
            del made  # with the loader the last reference: workers end now, not when garbage is next collected
            self._loader = self._new_loader()
            raise

    def _new_loader(self) -> DataLoader[Any]:
        """Workers start with the first pass, and go on into the next."""
        return DataLoader(
            self._made,
            batch_size=None,  # a request is what a worker makes at a time
            sampler=self._requests,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            prefetch_factor=AHEAD if self._workers else None,
            pin_memory=self._pinned,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # torch's global one is for initial weights alone
        )


def _pieces(index: NDArray[np.int64]) -> list[NDArray[np.int64]]:
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


def _pixels(made: Tensor | UserError | ValueError) -> Tensor:
    if isinstance(made, Exception):
        raise made
    return made


def _as_it_is(made: Any) -> Any:
    return made
