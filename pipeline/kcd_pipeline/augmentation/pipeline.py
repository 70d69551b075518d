"""Several operations, one after the other, as one augmentation.

Letters: B samples of a batch, P parameters of a view, C channels, H and W pixels.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop, pixels_of
from kcd_pipeline.augmentation.operations import Operation, ResizedCrop
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import operation_draws

T = TypeVar("T")


class Pipeline:
    """Operations whose parameters are each drawn from (seed, sample, view, number of the operation).

    Images in memory keep their size through all of them.

    Parameters
    ----------
    operations
        At least one.
    """

    def __init__(self, operations: Sequence[Operation], *, seed: int) -> None:
        self._operations, self._seed = tuple(operations), seed
        self._words = [operation.words for operation in self._operations]
        # P of an operation is the same for all sizes
        counts = [len(each.parameters(np.zeros((each.words, 1), np.uint32), 64, 64)) for each in self._operations]
        ends = np.cumsum(counts).tolist()
        self._rows = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]

    def describe(self) -> dict[str, Any]:
        operations = [operation.describe() for operation in self._operations]
        return {"name": "pipeline", "seed": self._seed, "operations": operations}

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        """Draw the parameters of all operations, one below the other: `[P, B]`.

        Raises
        ------
        ValueError
            If an operation does not fit images of this size.
        """
        words = operation_draws(self._seed, index, view, self._words)
        return np.concatenate([each.parameters(part, height, width) for each, part in self._with(words)])

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[P, B]` describe: same shape and dtype."""
        if drawn is None:
            drawn = parameters.cpu().numpy()
        for operation, part in self._with(self._rows):
            images = operation.apply(images, parameters[part], drawn[part])
        return images

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return the `view` of samples `index[B]`, which are `images[B, C, H, W]` uint8: same shape and dtype."""
        drawn = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(drawn, images.device), drawn)

    def augment_pictures(
        self, pictures: Iterable[Image.Image], crop: CentreCrop, index: NDArray[np.int64], view: ArrayLike
    ) -> Iterator[Tensor]:
        """Bring each picture to the size of images, then change it by Pillow: uint8 [3, size, size].

        A resized crop at the head of the list cuts its box out of the whole picture. With any other operation there,
        the middle is cut out first.
        """
        size, first = crop.size, self._operations[0]
        words = operation_draws(self._seed, index, view, self._words)
        drawn = [(operation, operation.parameters(part, size, size)) for operation, part in self._with(words)]
        for k, picture in enumerate(pictures):
            if isinstance(first, ResizedCrop):
                image, rest = first.cut(picture, words[0][:, k], size), drawn[1:]
            else:
                image, rest = crop.cut(picture), drawn
            for operation, parameters in rest:
                image = operation.apply_picture(image, parameters[:, k])
            yield pixels_of(image)

    def _with(self, parts: Iterable[T]) -> Iterator[tuple[Operation, T]]:
        """Yield each operation with its part."""
        return zip(self._operations, parts, strict=True)
