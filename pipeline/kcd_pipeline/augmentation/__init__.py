"""Replayable augmentation: view v of sample i is a pure function of (seed, i, v), and of nothing else."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.crop_flip import CropFlip
from kcd_pipeline.augmentation.frame import Frame
from kcd_pipeline.augmentation.protocol import Augmentation, ViewSource
from kcd_pipeline.augmentation.renumbered import Renumbered
from kcd_pipeline.augmentation.resized_crop_flip import ResizedCropFlip
from kcd_pipeline.augmentation.views import Normaliser, Views
from kcd_pipeline.config import AugmentationConfig
from kcd_stores.philox import permutation

__all__ = [
    "Augmentation",
    "Frame",
    "Identity",
    "Normaliser",
    "Renumbered",
    "ViewSource",
    "Views",
    "build_augmentation",
    "permutation",
]


class Identity:
    """Every view is the image itself."""

    def describe(self) -> dict[str, Any]:
        return {"name": "none"}

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
        return np.empty((0, len(index)), np.int64)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        return images

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        return images

    def picture(self, picture: Image.Image, frame: Frame, sample: int, view: int) -> Tensor:
        return frame.centred(picture)


def build_augmentation(config: AugmentationConfig) -> Augmentation:
    """The augmentation that a recipe names."""
    if config.name == "none":
        return Identity()
    if config.name == "crop-flip":
        return CropFlip(seed=config.seed, padding=config.padding, padding_mode=config.padding_mode, flip=config.flip)
    return ResizedCropFlip(seed=config.seed, scale=config.scale, ratio=config.ratio, flip=config.flip)
