"""A data set: torch datasets of images and labels, by the name of their split."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import Dataset


class Digits(Dataset[tuple[Tensor, int]]):
    """Some of scikit-learn's 1,797 images of handwritten digits, turned by quarters of a circle.

    Attributes
    ----------
    classes
        Names of the classes, in the order of their labels.
    """

    classes = tuple("0123456789")

    def __init__(self, samples: slice, quarters: int) -> None:
        bunch = load_digits()
        pixels = np.rot90(bunch.images[samples] * (255 / 16), quarters, axes=(1, 2))
        self._images, self._labels = torch.from_numpy(pixels.round().astype(np.uint8)), bunch.target[samples]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, sample: int) -> tuple[Tensor, int]:
        """Return an image, uint8 [1, 8, 8], and its label."""
        return self._images[sample][None], int(self._labels[sample])


def turned_digits(split: str, quarters: int = 1) -> Digits:
    """Return the images of a split: the first 1,200 to train on, the others to test."""
    return Digits(slice(0, 1200) if split == "train" else slice(1200, None), quarters)
