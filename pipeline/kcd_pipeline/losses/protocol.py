"""The contract of a loss over logits. Letters: B batch, C classes."""

from typing import Protocol

from torch import Tensor


class KnowledgeLoss(Protocol):
    """Measures how far a student's logits are from the teacher's.

    `distill.kd_weight` weighs it against the cross-entropy with the labels.
    """

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the batch, a scalar, for logits `student[B, C]` and `teacher[B, C]`, `labels[B]` int64."""
        ...
