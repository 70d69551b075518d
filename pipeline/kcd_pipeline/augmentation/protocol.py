"""What every augmentation is, and every source of augmented batches."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.frame import Frame


class Augmentation(Protocol):
    """Turns a batch of uint8 images into their views, on the device that the images are on; or a single picture."""

    def describe(self) -> dict[str, Any]:
        """Everything that the pixels depend on, as a store records it."""
        ...

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        """`[P, B]`: all that the `view` (one, or `[B]`) of samples `index[B]` hangs on, for images of this size."""
        ...

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """`images[B, C, H, W]` uint8 as views of `parameters[P, B]` on the same device: same shape, uint8."""
        ...

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """`images[B, C, H, W]` uint8 of samples `index[B]`, as their `view` (one, or `[B]`): same shape, uint8."""
        ...

    def picture(self, picture: Image.Image, frame: Frame, sample: int, view: int) -> Tensor:
        """A `picture` (RGB) of any size, which is `sample`, as its `view`: uint8 [3, size, size] of `frame`."""
        ...


class ViewSource(Protocol):
    """A split's images as a model's input, wherever they come from: the one thing that a training loop knows of data.

    What `index[B]` and `view` give never depends on the batch, its order, or who makes it.
    """

    def __len__(self) -> int:
        """N, the number of samples."""
        ...

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Samples `index[B]` as their `view` (one, or `[B]`): float32 `[B, C, H, W]`, channels last in memory."""
        ...

    def batches(self, cut: Sequence[NDArray[np.int64]], view: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Each `index[B]` of `cut` in turn, with what `batch` gives for it; may be made ahead of need."""
        ...
