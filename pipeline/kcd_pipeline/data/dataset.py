"""A data set: its splits, class names, normalisation, and the description that a store records."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kcd_pipeline.augmentation import Augmentation, CentreCrop, Mixing, ViewSource
from kcd_pipeline.data.split import ImageSplit


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Training and test images of one data set, and validation images if the recipe wants some.

    Attributes
    ----------
    classes
        Names of the classes, or the ids that their folders are called by.
    mean, std
        Per channel, of pixels scaled to 0..1: models take `(pixel / 255 - mean) / std`.
    label_names
        Names that people use for the classes, if `classes` holds ids.
    reading
        Settings, other than the defaults, by which files became pictures.
    validation
        Images by which the best epoch is chosen, none of which is in `train` or `test`.
    held_out
        The `fraction` of the training images that became validation images, and the `seed` of the choice; empty if
        none did.
    crop
        How pictures of any size become images; None if they were of that size.
    source_sha256
        Digest of the source of the user's own code that makes it; None if it is no such data set.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSplit
    test: ImageSplit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label_names: tuple[str, ...] | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    validation: ImageSplit | None = None
    held_out: Mapping[str, Any] = field(default_factory=dict)
    crop: CentreCrop | None = None
    source_sha256: str | None = None

    @property
    def channels(self) -> int:
        return self.image_shape[0]

    @property
    def image_shape(self) -> list[int]:
        """[C, H, W]."""
        return self.train.image_shape

    def label_name(self, label: int) -> str:
        """Return the name that people use for class `label`."""
        return (self.label_names or self.classes)[label]

    def train_views(
        self, augmentation: Augmentation, device: torch.device, resident: str = "auto", mixing: Mixing | None = None
    ) -> ViewSource:
        """Return the training images as models take them, each mixed with another if there is a `mixing`."""
        return self.train.views(
            augmentation, mean=self.mean, std=self.std, device=device, resident=resident, mixing=mixing
        )

    def test_views(self, augmentation: Augmentation, device: torch.device, resident: str = "auto") -> ViewSource:
        """Return the test images as models take them."""
        return self.test.views(augmentation, mean=self.mean, std=self.std, device=device, resident=resident)

    def validation_views(
        self, augmentation: Augmentation, device: torch.device, resident: str = "auto"
    ) -> ViewSource | None:
        """Return the validation images as models take them; None if there are none."""
        if self.validation is None:
            return None
        return self.validation.views(augmentation, mean=self.mean, std=self.std, device=device, resident=resident)

    def with_train_subset(self, samples: NDArray[np.int64]) -> "Dataset":
        """Return this data set with only `samples[K]` of its training set, numbered 0 to K-1."""
        return replace(self, train=self.train.subset(samples))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the images that decide how a training goes: of the training set, and of validation images."""
        fingerprints = {"dataset": self.description["fingerprint"]}
        if self.validation is not None:
            fingerprints["validation"] = self.validation.fingerprint(self.classes)
        return fingerprints

    @cached_property
    def description(self) -> dict[str, Any]:
        """Facts by which a store knows the data that it was made from."""
        label_names = {} if self.label_names is None else {"label_names": list(self.label_names)}
        return {
            "name": self.name,
            "split": "train",
            "size": len(self.train),
            "image_shape": self.image_shape,
            "classes": list(self.classes),
            **label_names,
            **self.reading,
            **({"validation": dict(self.held_out)} if self.held_out else {}),
            **({} if self.source_sha256 is None else {"source_sha256": self.source_sha256}),
            "mean": list(self.mean),
            "std": list(self.std),
            "fingerprint": self.train.fingerprint(self.classes),
        }
