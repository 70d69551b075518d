"""Contracts of an augmentation, and of a source of augmented batches.

Letters: B samples of a batch, C channels, H and W pixels, P parameters of a view.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop


class Augmentation(Protocol):
    """Shows each sample in many views, each a pure function of (seed, sample, view).

    Images in memory are augmented in batches, on the device that they are on, in two steps: `parameters` runs on the
    host, for many batches at once, and `apply` on the device. Pictures that are decoded one by one are augmented by
    `augment_pictures`.
    """

    def describe(self) -> dict[str, Any]:
        """Return all settings that the pixels depend on, as a store records them."""
        ...

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[Any]:
        """Draw the parameters of the views of samples `index[B]`, for images of this height and width: `[P, B]`.

        Parameters
        ----------
        view
            The view of all samples, or their views `[B]`.
        """
        ...

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[P, B]` describe: same shape and dtype.

        Both are on the same device.

        Parameters
        ----------
        drawn
            The parameters as they were drawn, on the host. Without it an augmentation that groups samples fetches the
            parameters from the device, and waits for it.
        """
        ...

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8, which are samples `index[B]`: same shape and dtype.

        Parameters
        ----------
        view
            The view of all samples, or their views `[B]`.
        """
        ...

    def augment_pictures(
        self, pictures: Iterable[Image.Image], crop: CentreCrop, index: NDArray[np.int64], view: ArrayLike
    ) -> Iterator[Tensor]:
        """Yield one view of each of B RGB `pictures` of any size, which are samples `index[B]`: uint8 [3, size, size].

        The parameters of all of them are drawn together. A picture is asked for when the one before it is done, so
        that only one needs to be decoded at a time.

        Parameters
        ----------
        crop
            How pictures are evaluated. It sets the size, and what an augmentation of whole images sees.
        view
            The view of all samples, or their views `[B]`.
        """
        ...


class ViewSource(Protocol):
    """The images of a split as a model takes them: all that a training loop knows of the data.

    The result for a sample and a view never depends on the rest of the batch, on the order, or on the process that
    makes it.
    """

    def __len__(self) -> int:
        """Return the number of samples, N."""
        ...

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return views of samples `index[B]`: float32 `[B, C, H, W]`, channels last in memory.

        Parameters
        ----------
        view
            The view of all samples, or their views `[B]`.
        """
        ...

    def batches(
        self, index_batches: Sequence[NDArray[np.int64]], view: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield each `index[B]` of `index_batches` with what `batch` returns for it; made ahead, if that is faster."""
        ...
