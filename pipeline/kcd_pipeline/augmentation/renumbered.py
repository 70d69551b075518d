"""The augmentation of a part of a data set, each sample's views being those that it has in the whole."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.frame import Frame
from kcd_pipeline.augmentation.protocol import Augmentation


class Renumbered:
    """`augmentation` for images numbered 0 to K-1 that are the samples `samples[K]` of the whole data set."""

    def __init__(self, augmentation: Augmentation, samples: NDArray[np.int64]) -> None:
        self._augmentation, self._samples = augmentation, samples

    def describe(self) -> dict[str, Any]:
        return self._augmentation.describe()

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        return self._augmentation(images, self._samples[index], view)

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        return self._augmentation.parameters(self._samples[index], view, height, width)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        return self._augmentation.apply(images, parameters)

    def picture(self, picture: Image.Image, frame: Frame, sample: int, view: int) -> Tensor:
        return self._augmentation.picture(picture, frame, int(self._samples[sample]), view)
