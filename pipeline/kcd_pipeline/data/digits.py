"""The data set that needs no download: scikit-learn's 1,797 real 8x8 images of handwritten digits (UCI, from NIST).

Its file is read by itself: loading scikit-learn takes longer than all else that a small run does.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import FailedError

CLASSES = tuple("0123456789")
FILE = "datasets/data/digits.csv.gz"  # below scikit-learn: a line an image, 64 grey levels of 0..16 and the digit
# the samples, one a line, that train_test_split(test_size=360, random_state=0, stratify=labels) of scikit-learn chooses
TEST_SAMPLES = Path(__file__).with_name("digits_test_samples.txt")


def load() -> tuple[InMemorySplit, InMemorySplit, tuple[str, ...]]:
    """Return training split (1,437), test split (360) and class names; images are uint8 [N, 1, 8, 8].

    The 17 grey levels of the source are spread over 0..255.

    Raises
    ------
    FailedError
        If scikit-learn is not installed with its data.
    """
    rows = np.loadtxt(_file(), delimiter=",", dtype=np.int64)
    images = np.round(rows[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    is_test = np.zeros(len(rows), bool)
    is_test[np.loadtxt(TEST_SAMPLES, dtype=np.int64)] = True
    labels = rows[:, -1]
    return _split(images[~is_test], labels[~is_test]), _split(images[is_test], labels[is_test]), CLASSES


def _file() -> Path:
    """Return scikit-learn's file of the images, which is found without loading scikit-learn."""
    package = find_spec("sklearn")
    places = [] if package is None else package.submodule_search_locations or []
    file = next((file for place in places if (file := Path(place) / FILE).is_file()), None)
    if file is None:
        raise FailedError(
            f"the images of digits were not found: expected {FILE} in the package scikit-learn. Install it again: pip "
            f"install --force-reinstall scikit-learn"
        )
    return file


def _split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> InMemorySplit:
    return InMemorySplit(images=torch.from_numpy(images), labels=torch.from_numpy(labels))
