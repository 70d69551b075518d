"""Validation images that are taken out of a training set: a part of every class, chosen by a seed.

Letters: N samples, K classes.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.errors import UserError
from kcd_stores.philox import VALIDATION_STREAM, permutation


def held_out_samples(labels: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.int64]:
    """Return the samples of `labels[N]` that become validation images, ascending int64: a pure function of all three.

    A class of n images gives `fraction * n` of them, rounded down or up, so that the sum over classes is
    `fraction * N`, rounded: the classes with the largest remainders round up, and of equal ones the first. A class
    keeps at least one training image, even if the sum becomes smaller by that.
    """
    sizes = np.bincount(labels)
    exact = fraction * sizes
    taken = np.floor(exact).astype(np.int64)
    left = round(fraction * len(labels)) - int(taken.sum())
    by_remainder = np.argsort(-(exact - taken), kind="stable")
    may_round_up = (exact > taken) & (taken + 1 < sizes)
    taken[by_remainder[may_round_up[by_remainder]][:left]] += 1
    order = permutation(seed, 0, np.arange(len(labels)), stream=VALIDATION_STREAM)
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(labels)) - starts[labels[by_class]]
    return np.sort(by_class[place < taken[labels[by_class]]])


def hold_out(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Return `dataset` with a part of its training set as validation images, and the rest as its training set.

    Raises
    ------
    UserError
        If that leaves no validation image.
    """
    labels = dataset.train.labels.numpy()
    chosen = held_out_samples(labels, fraction, seed)
    if not len(chosen):
        raise UserError(
            f"data.validation is {fraction:g}, and that leaves no validation image: the training set of {dataset.name} "
            f"has {len(labels):,} images in {len(dataset.classes):,} classes, and each class keeps at least one. Set "
            f"it to a larger fraction, or use more images."
        )
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    return replace(
        dataset,
        train=dataset.train.subset(rest),
        validation=dataset.train.subset(chosen),
        held_out={"fraction": fraction, "seed": seed},
    )
