"""The cross-entropy with labels, smoothed and weighed by class. Letters: N training samples, B batch, C classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.config import OptimisationConfig, TeacherConfig, did_you_mean
from kcd_pipeline.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossEntropy:
    """`-(1 - s) * u_y * log p_y - s / C * sum_c u_c * log p_c` of a sample of class y, with p = softmax(logits).

    Szegedy et al., "Rethinking the Inception architecture for computer vision" (CVPR 2016), with the weights u where
    torch has them. torch divides by the sum of a batch's weights, and so gives a sample another weight in every batch;
    here a batch is divided by B, whatever its classes are, and so are the shares of several ranks.

    Attributes
    ----------
    smoothing
        s, 0..1: the part of the label that all classes share.
    class_weight
        u, `[C]` float32 on the device of the logits; None: 1.
    """

    smoothing: float = 0.0
    class_weight: Tensor | None = None

    def each(self, logits: Tensor, labels: Labels) -> Tensor:
        """Return the loss of each sample, `[B]`, of `logits[B, C]` float; of a mixed one the mean over its labels."""
        return labels.mean_of(
            lambda of: F.cross_entropy(
                logits, of, weight=self.class_weight, label_smoothing=self.smoothing, reduction="none"
            )
        )

    def mean(self, logits: Tensor, labels: Labels, sample_weight: Tensor | None = None) -> Tensor:
        """Return the mean over the batch, a scalar, of the loss of each sample times its `sample_weight[B]`."""
        if sample_weight is not None:
            return (sample_weight * self.each(logits, labels)).mean()
        if self.class_weight is not None or labels.partner is not None:
            return self.each(logits, labels).mean()
        return F.cross_entropy(logits, labels.own, label_smoothing=self.smoothing)


PLAIN = CrossEntropy()


def make_cross_entropy(
    config: OptimisationConfig,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    label_names: Sequence[str] | None,
    device: torch.device,
) -> CrossEntropy:
    """Return the cross-entropy of a config, on `device`.

    Parameters
    ----------
    labels
        `[N]`: the class of each training sample, by which weights are balanced and scaled.
    classes, label_names
        The C names of the classes, and others that people use for them.

    Raises
    ------
    UserError
        If the weights are not of these classes.
    """
    section = "teacher" if isinstance(config, TeacherConfig) else "distill"
    weights = _given_weights(config.class_weights, labels, classes, label_names, f"{section}.class_weights")
    on_device = None
    if weights is not None:
        on_device = torch.from_numpy(scaled(weights, labels, f"{section}.class_weights")).to(device)
    return CrossEntropy(smoothing=config.label_smoothing, class_weight=on_device)


def balanced_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return `N / (K * n_c)` of each class, `[C]`, where K classes have samples and class c has n_c; 0 without any.

    King & Zeng, "Logistic regression in rare events data" (Political Analysis 2001), as scikit-learn has it. So every
    class has as much weight in an epoch as any other.
    """
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    return np.divide(len(labels), present.sum() * counts, out=np.zeros(classes), where=present)


def scaled(weights: NDArray[np.float64], labels: NDArray[np.int64], key: str) -> NDArray[np.float32]:
    """Return `weights[C]` as float32, times what makes their mean over all training samples 1, so the loss keeps size.

    Raises
    ------
    UserError
        If no training sample has a weight.
    """
    mean = weights[labels].mean()
    if not mean > 0:
        raise UserError(f"{key} gives each class that has training images the weight 0. Give one of them a weight.")
    return (weights / mean).astype(np.float32)


def _given_weights(
    given: str | Mapping[str, float] | Sequence[float] | None,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    label_names: Sequence[str] | None,
    key: str,
) -> NDArray[np.float64] | None:
    """Return the weights of a config, `[C]`, before they are scaled; None if there are none."""
    if given is None:
        return None
    if isinstance(given, str):
        return balanced_weights(labels, len(classes))
    if not isinstance(given, Mapping):
        if len(given) != len(classes):
            raise UserError(
                f"{key} is a list of {len(given)} weights, but the data set has {len(classes)} classes. Give one for "
                f"each class, in their order, or a mapping by name for some of them."
            )
        return np.array(given, dtype=np.float64)
    places = {name: place for names in (label_names or (), classes) for place, name in enumerate(names)}
    weights = np.ones(len(classes))
    for name, weight in given.items():
        if name not in places:
            raise UserError(
                f"{key} names the class '{name}', which the data set does not have{did_you_mean(name, places)}. Name "
                f"some of its {len(classes)} classes; those that are left out have the weight 1."
            )
        weights[places[name]] = weight
    return weights
