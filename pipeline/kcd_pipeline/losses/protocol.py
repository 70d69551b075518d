"""What every loss over stored logits is. Letters: B batch, C classes."""

from typing import Protocol

from torch import Tensor


class KnowledgeLoss(Protocol):
    """How far a student is from what it is taught; `distill.kd_weight` weighs it against the labels' cross-entropy."""

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """`student[B, C]` and `teacher[B, C]` float logits, `labels[B]` int64 -> a scalar, mean over the batch."""
        ...
