"""A split whose pictures stay on disk; each is decoded when it is needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation import Augmentation, CentreCrop, Mixing, ViewSource
from kcd_pipeline.data.pictures.fingerprint import fingerprint_files
from kcd_pipeline.data.pictures.loader import PictureViews
from kcd_pipeline.data.pictures.picture import Reading, open_picture
from kcd_pipeline.data.pictures.source import PictureSource
from kcd_pipeline.data.split import first_of_each_label


@dataclass(frozen=True, kw_only=True, eq=False)
class OnDiskSplit:
    """The pictures of `source`, which models take as `crop` cuts them.

    Attributes
    ----------
    workers
        Processes that decode ahead of the training loop; with 0 the loop itself decodes.
    """

    source: PictureSource
    crop: CentreCrop
    reading: Reading
    workers: int

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def labels(self) -> Tensor:
        """`[N]` int64."""
        return torch.from_numpy(self.source.labels)

    @property
    def image_shape(self) -> list[int]:
        """[3, size, size]."""
        return [3, self.crop.size, self.crop.size]

    def image(self, sample: int) -> Tensor:
        """Return one picture as it is evaluated: uint8 [3, size, size]."""
        return self.crop(self._open(sample))

    def some_views(
        self,
        index: NDArray[np.int64],
        view: NDArray[np.int64],
        augmentation: Augmentation,
        mixing: Mixing | None = None,
    ) -> Iterator[Tensor]:
        """Yield views `view[B]` of pictures `index[B]`, mixed with those of others if they are: uint8 [3, size, size].

        Pictures are decoded one by one.
        """
        if mixing is None:
            yield from self._augmented(index, view, augmentation)
            return
        size = self.crop.size
        mixes = mixing.draw(index, view, samples=len(self), height=size, width=size)
        # nothing is seen of a partner of weight 0, and so it need not be decoded
        shown = np.stack([np.ones(len(index), bool), mixes.weight < 1], axis=1)
        pairs, views = np.stack([index, mixes.partner], axis=1), np.stack([view, view], axis=1)
        made = self._augmented(pairs[shown], views[shown], augmentation)
        for own, is_mixed, parameters in zip(made, shown[:, 1].tolist(), mixes.parameters.T, strict=True):
            yield mixing.apply_alone(own, next(made), parameters) if is_mixed else own

    def _augmented(
        self, index: NDArray[np.int64], view: NDArray[np.int64], augmentation: Augmentation
    ) -> Iterator[Tensor]:
        return augmentation.augment_pictures(map(self._open, index.tolist()), self.crop, index, view)

    def _open(self, sample: int) -> Image.Image:
        return open_picture(self.source.open(sample), self.reading, self.crop, name=self.source.name(sample))

    def fingerprint(self, classes: Sequence[str]) -> str:
        """Return a SHA-256 over crop, reading, class names and, in order, the label and bytes of each picture."""
        return fingerprint_files(self.source, self.crop, classes, self.reading)

    def first_per_class(self, count: int) -> "OnDiskSplit":
        """Return the split of the first `count` samples of each class, in the same order."""
        return self.subset(first_of_each_label(self.source.labels, count))

    def subset(self, samples: NDArray[np.int64]) -> "OnDiskSplit":
        """Return the split of `samples[K]`, in that order."""
        return replace(self, source=self.source.subset(samples))

    def views(
        self,
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        resident: str = "auto",
        mixing: Mixing | None = None,
    ) -> ViewSource:
        """Return the pictures as models take them; `resident` is for images in memory, and there are none."""
        return PictureViews(
            partial(self.some_views, augmentation=augmentation, mixing=mixing),
            size=len(self),
            shape=self.image_shape,
            workers=self.workers,
            mean=mean,
            std=std,
            device=device,
        )
