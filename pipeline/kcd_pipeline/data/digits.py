"""The data set that needs no download: scikit-learn's 1,797 real 8x8 images of handwritten digits (UCI, from NIST)."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from kcd_pipeline.data.split import InMemorySplit

CLASSES = tuple("0123456789")
TEST_SIZE = 360  # a fifth of the images; fixed like the seed, so that every result is on the same split
SPLIT_SEED = 0


def load() -> tuple[InMemorySplit, InMemorySplit, tuple[str, ...]]:
    """Return training split (1,437), test split (360) and class names; images are uint8 [N, 1, 8, 8].

    The 17 grey levels of the source are spread over 0..255.
    """
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    train, test = train_test_split(
        np.arange(len(images)), test_size=TEST_SIZE, random_state=SPLIT_SEED, stratify=digits.target
    )
    return (
        _split(images, digits.target, np.sort(train)),
        _split(images, digits.target, np.sort(test)),
        CLASSES,
    )


def _split(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> InMemorySplit:
    return InMemorySplit(images=torch.from_numpy(images[rows]), labels=torch.from_numpy(labels[rows].astype(np.int64)))
