"""The way from a picture file to what a model takes: the evaluation of a data set, as a value that can be written down.

Letters: B pictures, C channels, H and W pixels.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation import CentreCrop, Normaliser
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.pictures.picture import Reading, open_picture
from kcd_pipeline.errors import UserError

MAX_PIXELS: int = DataConfig.model_fields["max_pixels"].default
MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of channels that a model takes

Picture = str | Path | Image.Image  # a file, or a picture that is decoded


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Turns a picture into the image that a model was evaluated on, and its pixels into the numbers that it takes.

    Attributes
    ----------
    image_shape
        [C, H, W] of an image.
    mean, std
        Per channel, of pixels scaled to 0..1: models take `(pixel / 255 - mean) / std`.
    resize
        Pixels to which the shorter side of a picture is scaled before its middle is cut out. None if the data set had
        images of H x W pixels only: others are scaled to cover that, if it is a square.
    exif
        True if a picture is turned as its EXIF orientation says.
    pixel_range
        Values of deep grey pictures that are black and white; None: as the format implies.

    Raises
    ------
    ValueError
        If the numbers do not fit each other.
    """

    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    exif: bool = False
    pixel_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        channels, height, width = self.image_shape
        if not len(self.mean) == len(self.std) == channels:
            raise ValueError(f"mean and std have {len(self.mean)} and {len(self.std)} numbers for {channels} channels")
        if self.resize is not None and (height != width or self.resize < height):
            raise ValueError(f"resize is {self.resize}, from which no {height}x{width} pixels can be cut")

    @classmethod
    def of(cls, dataset: Dataset) -> "Preprocessing":
        """Return how `dataset` is evaluated."""
        channels, height, width = dataset.image_shape
        return cls(
            image_shape=(channels, height, width),
            mean=dataset.mean,
            std=dataset.std,
            resize=None if dataset.crop is None else dataset.crop.resize,
            **dataset.reading,
        )

    def describe(self) -> dict[str, Any]:
        """Return how a picture becomes an image, as plain data; mean and std are not among it."""
        channels, height, width = self.image_shape
        shape = {"channels": channels, "height": height, "width": width, "resize": self.resize}
        return shape | self._reading.describe()

    def __call__(self, picture: Picture) -> Tensor:
        """Return a picture as a model takes it: float32 `[C, H, W]`.

        Raises
        ------
        UserError
            If the file cannot be read as a picture, or pictures of its size cannot be taken.
        """
        return self.normalised(self.pixels(picture)[None])[0]

    def batch(self, pictures: Iterable[Picture]) -> Tensor:
        """Return pictures as a model takes them: float32 `[B, C, H, W]`, decoded by several threads.

        Raises
        ------
        UserError
            If one of them cannot be read as a picture, or pictures of its size cannot be taken.
        """
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
            return self.normalised(torch.stack(list(pool.map(self.pixels, pictures))))

    def pixels(self, picture: Picture) -> Tensor:
        """Return a picture as an image: uint8 `[C, H, W]`.

        Raises
        ------
        UserError
            If the file cannot be read as a picture, or pictures of its size cannot be taken.
        """
        channels, height, width = self.image_shape
        if channels not in MODES:
            raise UserError(
                f"the model takes images of {channels} channels, and a picture has 1 or 3. Give it tensors instead."
            )
        file = None if isinstance(picture, Image.Image) else Path(picture)
        opened = picture if isinstance(picture, Image.Image) else open_picture(Path(picture), self._reading, self._crop)
        opened = opened.convert(MODES[channels])
        if self._crop is not None:
            opened = self._crop.cut(opened)
        elif opened.size != (width, height):
            raise UserError(
                f"{file or 'the picture'} has {opened.width}x{opened.height} pixels, and the model was trained on "
                f"images of {width}x{height} that were neither scaled nor cut. Bring it to that size first."
            )
        return torch.from_numpy(np.array(opened).reshape(height, width, channels)).permute(2, 0, 1).contiguous()

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return uint8 `pixels[B, C, H, W]` as a model takes them: float32 of the same shape."""
        return self._normaliser(pixels)

    @cached_property
    def _normaliser(self) -> Normaliser:
        return Normaliser(mean=self.mean, std=self.std, device=torch.device("cpu"))

    @cached_property
    def _reading(self) -> Reading:
        return Reading(exif=self.exif, pixel_range=self.pixel_range, max_pixels=MAX_PIXELS)

    @cached_property
    def _crop(self) -> CentreCrop | None:
        """Return the crop, which leaves an image that has the size already as it is."""
        _, height, width = self.image_shape
        return CentreCrop(size=height, resize=self.resize or height) if height == width else None
