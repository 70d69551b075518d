"""A data set in memory: images as uint8, labels, names, normalisation, and a fingerprint of the content."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """`images[N, C, H, W]` uint8 and `labels[N]` int64, in the data set's own order."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], got {self.images.dtype} {list(self.images.shape)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels must be int64 [{len(self.images)}], got {list(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self, classes: Sequence[str]) -> str:
        """SHA-256 over shape, pixels, labels and class names: the same content, wherever it was read from."""
        digest = hashlib.sha256(repr((list(self.images.shape), list(classes))).encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def limited(self, per_class: int) -> "Split":
        """The first `per_class` samples of each class, in the same order."""
        chosen = torch.zeros(len(self), dtype=torch.bool)
        for label in range(int(self.labels.max()) + 1):
            chosen[(self.labels == label).nonzero()[:per_class, 0]] = True
        return self.chosen(chosen)

    def chosen(self, samples: Tensor) -> "Split":
        """Some of the samples, by a mask `[N]` or by indices, in that order."""
        return Split(images=self.images[samples], labels=self.labels[samples])


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Training and test images of one data set.

    Attributes
    ----------
    mean, std
        Per channel, of pixels scaled to 0..1: what models see is `(pixel / 255 - mean) / std`.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        return int(self.train.images.shape[1])

    @property
    def image_shape(self) -> list[int]:
        """[C, H, W]."""
        return list(self.train.images.shape[1:])

    def restricted(self, samples: NDArray[np.int64]) -> "Dataset":
        """The same test set, and of the training set only `samples[K]`, numbered 0 to K-1."""
        return replace(self, train=self.train.chosen(torch.from_numpy(samples)))

    @cached_property
    def description(self) -> dict[str, Any]:
        """What a store records of the data that it was made from."""
        return {
            "name": self.name,
            "split": "train",
            "size": len(self.train),
            "image_shape": self.image_shape,
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
            "fingerprint": self.train.fingerprint(self.classes),
        }


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
