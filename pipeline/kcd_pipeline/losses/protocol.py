"""The contract of a loss over logits. Letters: B batch, C classes."""

from typing import ClassVar, Protocol

from torch import Tensor


class KnowledgeLoss(Protocol):
    """Measures how far a student's logits are from the teacher's.

    `distill.kd_weight` weighs it against the cross-entropy with the labels.

    Attributes
    ----------
    takes_labels
        True if it looks at the labels: of a picture that is mixed of two it is then the mean over both labels.
    """

    takes_labels: ClassVar[bool]

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each sample, `[B]`, so that its mean over the batch is the loss of the batch.

        A term that compares the samples of a batch with each other has one value for the batch. It is added to each of
        them.

        Parameters
        ----------
        student, teacher
            Logits `[B, C]` float.
        labels
            `[B]` int64.
        """
        ...
