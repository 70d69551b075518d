"""A data set: images in memory or on disk, labels, names, normalisation, and a fingerprint of the content."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.augmentation import Augmentation, Views, ViewSource


class ImageSplit(Protocol):
    """A training or test set in the data set's own order, wherever its images are."""

    @property
    def labels(self) -> Tensor:
        """`[N]` int64."""
        ...

    @property
    def image_shape(self) -> list[int]:
        """[C, H, W] of what models see."""
        ...

    def __len__(self) -> int: ...

    def image(self, sample: int) -> Tensor:
        """One image, not augmented: uint8 [C, H, W]."""
        ...

    def fingerprint(self, classes: Sequence[str]) -> str:
        """SHA-256 of the content; the same content has the same one, wherever it lies."""
        ...

    def limited(self, per_class: int) -> Self:
        """The first `per_class` samples of each class, in the same order."""
        ...

    def chosen(self, samples: NDArray[np.int64]) -> Self:
        """The samples `samples[K]` alone, in that order."""
        ...

    def views(
        self,
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        resident: str = "auto",
    ) -> ViewSource:
        """Batches of it as a model's input; images in memory lie where `resident` says (`run.resident`)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """In memory: `images[N, C, H, W]` uint8 and `labels[N]` int64, in the data set's own order."""

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
        """One image: uint8 [C, H, W]."""
        return self.images[sample]

    def fingerprint(self, classes: Sequence[str]) -> str:
        """SHA-256 over shape, pixels, labels and class names: the same content, wherever it was read from."""
        digest = hashlib.sha256(repr((list(self.images.shape), list(classes))).encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def limited(self, per_class: int) -> "Split":
        """The first `per_class` samples of each class, in the same order."""
        return self.chosen(first_of_each(self.labels.numpy(), per_class))

    def chosen(self, samples: NDArray[np.int64]) -> "Split":
        """The samples `samples[K]` alone, in that order."""
        index = torch.from_numpy(samples)
        return Split(images=self.images[index], labels=self.labels[index])

    def views(
        self,
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        resident: str = "auto",
    ) -> ViewSource:
        """Batches of it as a model's input; the images lie where `resident` says (`run.resident`)."""
        return Views(self.images, augmentation, mean=mean, std=std, device=device, resident=resident)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Training and test images of one data set.

    Attributes
    ----------
    classes
        What tells them apart: names, or the ids that their folders are called by.
    mean, std
        Per channel, of pixels scaled to 0..1: what models see is `(pixel / 255 - mean) / std`.
    label_names
        What people call the classes, where that is something else.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSplit
    test: ImageSplit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label_names: tuple[str, ...] | None = None

    @property
    def channels(self) -> int:
        return self.image_shape[0]

    @property
    def image_shape(self) -> list[int]:
        """[C, H, W]."""
        return self.train.image_shape

    def label_name(self, label: int) -> str:
        """What people call class `label`."""
        return (self.label_names or self.classes)[label]

    def train_views(self, augmentation: Augmentation, device: torch.device, resident: str = "auto") -> ViewSource:
        """Batches of the training set as models see them."""
        return self.train.views(augmentation, mean=self.mean, std=self.std, device=device, resident=resident)

    def test_views(self, augmentation: Augmentation, device: torch.device, resident: str = "auto") -> ViewSource:
        """Batches of the test set as models see them."""
        return self.test.views(augmentation, mean=self.mean, std=self.std, device=device, resident=resident)

    def restricted(self, samples: NDArray[np.int64]) -> "Dataset":
        """The same test set, and of the training set only `samples[K]`, numbered 0 to K-1."""
        return replace(self, train=self.train.chosen(samples))

    @cached_property
    def description(self) -> dict[str, Any]:
        """What a store records of the data that it was made from."""
        named = {} if self.label_names is None else {"label_names": list(self.label_names)}
        return {
            "name": self.name,
            "split": "train",
            "size": len(self.train),
            "image_shape": self.image_shape,
            "classes": list(self.classes),
            **named,
            "mean": list(self.mean),
            "std": list(self.std),
            "fingerprint": self.train.fingerprint(self.classes),
        }


def first_of_each(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Positions of the first `per_class` of each label, ascending, int64."""
    by_label = np.argsort(labels, kind="stable")
    ranks = np.arange(len(labels)) - np.searchsorted(labels[by_label], labels[by_label])
    return np.sort(by_label[ranks < per_class])


def measured_normalisation(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of `images[N, C, H, W]` uint8 per channel, scaled to 0..1, to four digits.

    From exact integer histograms, so that they do not depend on summation order or thread count.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten().long(), minlength=256).double()
        mean = float((counts * levels).sum() / counts.sum())
        variance = float((counts * (levels - mean) ** 2).sum() / counts.sum())
        means.append(round(mean, 4))
        deviations.append(max(round(variance**0.5, 4), 1e-4))  # a constant channel must not divide by zero
    return tuple(means), tuple(deviations)
