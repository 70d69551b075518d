"""Several operations, one after the other, as one augmentation.

Letters: B samples of a batch, P parameters of a view, C channels, H and W pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop, pixels_of
from kcd_pipeline.augmentation.operations import Operation
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import operation_draws


class Pipeline:
    """Operations whose parameters are each drawn from (seed, sample, view, number of the operation).

    Images in memory keep their size through all of them. Of a picture that is decoded, first the middle is cut out.

    Parameters
    ----------
    operations
        At least one.
    """

    def __init__(self, operations: Sequence[Operation], *, seed: int) -> None:
        self._operations, self._seed = tuple(operations), seed
        self._words = [operation.words for operation in self._operations]
        # a parameter is a row: where those of each operation end is the same for images of any size
        one = [each.parameters(np.zeros((each.words, 1), np.uint32), 64, 64) for each in self._operations]
        self._ends = np.cumsum([len(parameters) for parameters in one]).tolist()

    def describe(self) -> dict[str, Any]:
        operations = [operation.describe() for operation in self._operations]
        return {"name": "pipeline", "seed": self._seed, "operations": operations}

    @property
    def exact(self) -> bool:
        """True if images in memory become the same bytes on every kind of device."""
        return all(operation.exact for operation in self._operations)

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[Any]:
        """Draw the parameters of all operations, one below the other: `[P, B]`, int64 or float64.

        Raises
        ------
        ValueError
            If an operation does not fit images of this size.
        """
        words = operation_draws(self._seed, index, view, self._words)
        drawn = [
            operation.parameters(part, height, width) for operation, part in zip(self._operations, words, strict=True)
        ]
        return np.concatenate(drawn)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[P, B]` describe: same shape and dtype."""
        if drawn is None:
            drawn = parameters.cpu().numpy()
        start = 0
        for operation, end in zip(self._operations, self._ends, strict=True):
            images = operation.apply(images, parameters[start:end], drawn[start:end])
            start = end
        return images

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return the `view` of samples `index[B]`, which are `images[B, C, H, W]` uint8: same shape and dtype."""
        drawn = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(drawn, images.device), drawn)

    def augment_picture(self, picture: Image.Image, crop: CentreCrop, sample: int, view: int) -> Tensor:
        """Cut the middle out of `picture`, then change it by Pillow: uint8 [3, size, size]."""
        drawn = self.parameters(np.array([sample]), view, crop.size, crop.size)[:, 0]
        picture = crop.cut(picture)
        start = 0
        for operation, end in zip(self._operations, self._ends, strict=True):
            picture = operation.apply_picture(picture, drawn[start:end])
            start = end
        return pixels_of(picture)
