"""What every augmentation is."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


class Augmentation(Protocol):
    """Turns a batch of uint8 images into their views; on the device that the images are on."""

    def describe(self) -> dict[str, Any]:
        """Everything that the pixels depend on, as a store records it."""
        ...

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """`images[B, C, H, W]` uint8 of samples `index[B]`, as their `view` (one, or `[B]`): same shape, uint8."""
        ...
