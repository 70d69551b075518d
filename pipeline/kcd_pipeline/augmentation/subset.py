"""The augmentation of a subset of a data set, whose samples keep the views that they have in the whole set."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop
from kcd_pipeline.augmentation.protocol import Augmentation


class SubsetAugmentation:
    """Augment image k of a subset as `augmentation` augments sample `samples[k]` of the whole data set.

    Parameters
    ----------
    samples
        `[K]` int64: the sample of the whole set that each image of the subset is.
    """

    def __init__(self, augmentation: Augmentation, samples: NDArray[np.int64]) -> None:
        self._augmentation, self._samples = augmentation, samples

    def describe(self) -> dict[str, Any]:
        return self._augmentation.describe()

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[Any]:
        return self._augmentation.parameters(self._samples[index], view, height, width)

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        return self._augmentation.apply(images, parameters, drawn)

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        return self._augmentation(images, self._samples[index], view)

    def augment_pictures(
        self, pictures: Iterable[Image.Image], crop: CentreCrop, index: NDArray[np.int64], view: ArrayLike
    ) -> Iterator[Tensor]:
        return self._augmentation.augment_pictures(pictures, crop, self._samples[index], view)
