"""`dist`: correlations in place of values. Letters: B batch, C classes, T temperature.

Huang et al., "Knowledge distillation from a stronger teacher" (NeurIPS 2022). The student's probabilities are to rise
and fall with the teacher's, over the classes of each sample and over the samples of each class; how large they are does
not matter.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

SMALLEST = 1e-8  # added to the product of two norms, so that a constant row has correlation 0


@dataclass(frozen=True, kw_only=True)
class Dist:
    """`T^2 * (beta * inter + gamma * intra)`, for probabilities at temperature T.

    inter is 1 minus Pearson's correlation of student and teacher over the classes of a sample; intra is 1 minus their
    correlation over the samples of the batch for a class, mean over classes: one number that all samples share.
    """

    takes_labels: ClassVar[bool] = False
    temperature: float
    beta: float
    gamma: float

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        p, q = ((logits / self.temperature).softmax(dim=1) for logits in (student, teacher))
        inter = 1 - pearson_correlation(p, q)
        intra = 1 - pearson_correlation(p.T, q.T).mean()
        return self.temperature**2 * (self.beta * inter + self.gamma * intra)


def pearson_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlation of each row of `first[n, m]` with that of `second[n, m]`: `[n]`; 0 if one is constant."""
    first, second = (part - part.mean(dim=1, keepdim=True) for part in (first, second))
    return (first * second).sum(dim=1) / (first.norm(dim=1) * second.norm(dim=1) + SMALLEST)
