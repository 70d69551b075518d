"""No augmentation: every view of a sample is the image itself."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop


class Identity:
    """The augmentation that changes nothing, for evaluation and for `augmentation.name: none`."""

    def describe(self) -> dict[str, Any]:
        return {"name": "none"}

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        """Return no parameters: `[0, B]`."""
        return np.empty((0, len(index)), np.int64)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        return images

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        return images

    def augment_pictures(
        self, pictures: Iterable[Image.Image], crop: CentreCrop, index: NDArray[np.int64], view: ArrayLike
    ) -> Iterator[Tensor]:
        return map(crop, pictures)
