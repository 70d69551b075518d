"""Metrics of a classifier from its likeliest classes, its confidence in them, and the true classes.

Letters: N images, k likeliest classes, C classes, M bins.
"""

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of confidence, as in Guo et al. 2017

Labels = NDArray[np.integer]


def top_accuracy(likeliest: Labels, labels: Labels, k: int) -> float:
    """Return the share of images whose true class, `labels[N]`, is among the first `k` of `likeliest[N, K]`: 0..1."""
    return float((likeliest[:, :k] == labels[:, None]).any(axis=1).mean())


def confusion_matrix(predicted: Labels, labels: Labels, classes: int) -> NDArray[np.int64]:
    """Return `[C, C]`: the number of images of each true class (row) that were taken for each class (column)."""
    cells = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)


def calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the expected calibration error, 0..1: how far a model's confidence is from its accuracy.

    Images are sorted into M bins of equal width by confidence, bin m holding those in ((m-1)/M, m/M], and

        ECE = sum_m |B_m| / N * |acc(B_m) - conf(B_m)|

    with the accuracy and the mean confidence in each bin (eq. 3 of Chuan Guo, Geoff Pleiss, Yu Sun and Kilian
    Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017).

    Parameters
    ----------
    confidence
        `[N]`: the probability of the class that was predicted, 0..1.
    correct
        `[N]`: whether it was the true one.
    """
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=correct - confidence, minlength=bins)  # |B_m| * (acc - conf)
    return float(np.abs(gaps).sum() / len(confidence))
