"""Metrics of classifiers, against scikit-learn and numbers worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as theirs
from sklearn.metrics import top_k_accuracy_score

from kcd_pipeline.handover.metrics import calibration_error, confusion_matrix, top_accuracy


@pytest.mark.parametrize("k", [1, 3, 5])
def test_accuracy_and_confusion_are_scikit_learns(k: int) -> None:
    draw = np.random.default_rng(5)
    labels, logits = draw.integers(0, 7, 200), draw.normal(size=(200, 7))
    likeliest = np.argsort(-logits, axis=1)[:, :5].astype(np.int32)
    expected = top_k_accuracy_score(labels, logits, k=k, labels=range(7))
    assert top_accuracy(likeliest, labels, k) == pytest.approx(expected)
    matrix = confusion_matrix(likeliest[:, 0], labels, 9)
    assert np.array_equal(matrix, theirs(labels, likeliest[:, 0], labels=range(9)))


def test_calibration_error_worked_by_hand() -> None:
    """Two bins, (0, 0.5] and (0.5, 1].

    The first holds 0.3 (wrong) and 0.5 (right): accuracy 0.5, mean confidence 0.4, gap 0.1. The second holds 0.6, 0.9
    and 0.9, of which two are right: accuracy 2/3, mean confidence 0.8, gap 2/15. So 2/5 * 0.1 + 3/5 * 2/15 = 0.12.
    """
    confidence = np.array([0.3, 0.5, 0.6, 0.9, 0.9])
    correct = np.array([False, True, False, True, True])
    assert calibration_error(confidence, correct, bins=2) == pytest.approx(0.12)


def test_a_confident_model_that_is_right_has_no_calibration_error() -> None:
    assert calibration_error(np.ones(4), np.ones(4, bool)) == 0
    assert calibration_error(np.ones(4), np.zeros(4, bool)) == 1


def test_bins_are_closed_above() -> None:
    """With 15 bins, 3/15 is in the third, (2/15, 3/15]: there it meets 0.19, and both errors cancel.

    Accuracy 1/2, mean confidence 0.195: gap 0.305. In bins of their own, the gaps 0.19 and 0.8 would give 0.495.
    """
    assert calibration_error(np.array([0.19, 3 / 15]), np.array([False, True])) == pytest.approx(0.305)
