"""The way of pixels from the processes that make them into a batch.

A tensor that torch's DataLoader hands over lies in a file in /dev/shm, where a container has room for few. A worker
that cannot make one more fails in a thread of which nobody hears, and both sides wait for ever. Pixels therefore lie in
anonymous memory, which processes share that are forked after it was made; where they are not forked, pixels travel
through a pipe.
"""

import math
import mmap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from kcd_pipeline.errors import FailedError, UserError

MakeViews = Callable[[NDArray[np.int64], NDArray[np.int64]], Iterable[Tensor]]  # samples, views -> uint8 [C, H, W]
Request = tuple[int, NDArray[np.int64], NDArray[np.int64]]  # place, and the samples and views of a piece, [P] each
Made = NDArray[np.uint8] | int | Exception  # pixels [P, H, W, C], or how many pictures lie in the place, or an error

ERRORS = (
    UserError,
    FailedError,
    ValueError,
    RuntimeError,
    MemoryError,
)  # returned, for torch would wrap them in a traceback


def shared_places(count: int, pictures: int, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Return memory for `count` pieces, `[count, pictures, H, W, C]`, that forked processes and this one share.

    Parameters
    ----------
    shape
        [C, H, W] of a picture. Its pixels lie as Pillow makes them and models take them, channels last.
    """
    memory = mmap.mmap(-1, count * pictures * math.prod(shape))
    return np.frombuffer(memory, np.uint8).reshape(count, pictures, *shape[1:], shape[0])


class Pieces(Dataset[Any]):
    """Turns a request into pixels, in a worker or in the calling process.

    Parameters
    ----------
    places
        Where a worker puts its pixels; None: it returns them. A process that is not forked gets None.
    """

    def __init__(self, make_views: MakeViews, shape: Sequence[int], places: NDArray[np.uint8] | None) -> None:
        self._make_views, self._shape, self._places = make_views, tuple(shape), places

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_places": None}

    def __getitem__(self, request: Request) -> Made:
        place, samples, views = request
        try:
            if self._places is None:
                pixels = np.empty((len(samples), *self._shape[1:], self._shape[0]), np.uint8)
            else:
                pixels = self._places[place, : len(samples)]
            for room, made in zip(pixels, self._make_views(samples, views), strict=True):
                room[...] = made.permute(1, 2, 0).numpy()
        except ERRORS as error:
            return error
        return pixels if self._places is None else len(samples)
