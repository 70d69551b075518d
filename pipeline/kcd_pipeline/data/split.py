"""A training or test set: the contract of one, and one whose images are in memory.

Letters: N samples, C channels, H and W pixels, K chosen samples.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.augmentation import Augmentation, InMemoryViews, Mixing, ViewSource


class ImageSplit(Protocol):
    """A training or test set in the data set's own order, wherever its images are."""

    @property
    def labels(self) -> Tensor:
        """`[N]` int64."""
        ...

    @property
    def image_shape(self) -> list[int]:
        """[C, H, W] of the images that models take."""
        ...

    def __len__(self) -> int: ...

    def image(self, sample: int) -> Tensor:
        """Return one image, not augmented: uint8 [C, H, W]."""
        ...

    def fingerprint(self, classes: Sequence[str]) -> str:
        """Return a SHA-256 of the content, which does not depend on where it lies."""
        ...

    def first_per_class(self, count: int) -> Self:
        """Return the split of the first `count` samples of each class, in the same order."""
        ...

    def subset(self, samples: NDArray[np.int64]) -> Self:
        """Return the split of `samples[K]`, in that order."""
        ...

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
        """Return the images as models take them on `device`.

        Parameters
        ----------
        mean, std
            Per channel, of pixels scaled to 0..1.
        resident
            `run.resident`: where images in memory lie.
        mixing
            How samples are mixed with others of this split, if they are.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class InMemorySplit:
    """A split whose images are in memory: `images[N, C, H, W]` uint8 and `labels[N]` int64.

    Raises
    ------
    ValueError
        If a shape or dtype is another.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], got {self.images.dtype} {list(self.images.shape)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels must be int64 [{len(self.images)}], got {list(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> list[int]:
        """[C, H, W]."""
        return list(self.images.shape[1:])

    def image(self, sample: int) -> Tensor:
        """Return one image: uint8 [C, H, W]."""
        return self.images[sample]

    def fingerprint(self, classes: Sequence[str]) -> str:
        """Return the SHA-256 of shape, class names, pixels and labels."""
        digest = hashlib.sha256(repr((list(self.images.shape), list(classes))).encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def first_per_class(self, count: int) -> "InMemorySplit":
        """Return the split of the first `count` samples of each class, in the same order."""
        return self.subset(first_of_each_label(self.labels.numpy(), count))

    def subset(self, samples: NDArray[np.int64]) -> "InMemorySplit":
        """Return the split of `samples[K]`, in that order."""
        index = torch.from_numpy(samples)
        return InMemorySplit(images=self.images[index], labels=self.labels[index])

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
        """Return the images as models take them; they lie where `resident` says."""
        return InMemoryViews(
            self.images, augmentation, mean=mean, std=std, device=device, resident=resident, mixing=mixing
        )


def first_of_each_label(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the positions of the first `count` of each label in `labels[N]`, ascending."""
    by_label = np.argsort(labels, kind="stable")
    ranks = np.arange(len(labels)) - np.searchsorted(labels[by_label], labels[by_label])
    return np.sort(by_label[ranks < count])
