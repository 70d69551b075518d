"""`dist`: relations instead of values. Letters: B batch, C classes, T temperature.

Huang et al., "Knowledge distillation from a stronger teacher" (NeurIPS 2022): the student's probabilities are to rise
and fall with the teacher's, among the classes of a sample and among the samples of a class, whatever their size.
"""

from dataclasses import dataclass

from torch import Tensor

SMALLEST = 1e-8  # added to the product of two norms, so that what does not vary correlates with nothing


@dataclass(frozen=True, kw_only=True)
class Dist:
    """`T^2 * (beta * inter + gamma * intra)` of probabilities at T.

    inter: 1 - Pearson's correlation of student and teacher over the classes of each sample, mean over samples.
    intra: the same over the samples of the batch for each class, mean over classes.
    """

    temperature: float
    beta: float
    gamma: float

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        p, q = ((logits / self.temperature).softmax(dim=1) for logits in (student, teacher))
        inter = 1 - correlation(p, q).mean()
        intra = 1 - correlation(p.T, q.T).mean()
        return self.temperature**2 * (self.beta * inter + self.gamma * intra)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation, row by row, of `first[n, m]` and `second[n, m]`: `[n]`; 0 where a row is constant."""
    first, second = (part - part.mean(dim=1, keepdim=True) for part in (first, second))
    return (first * second).sum(dim=1) / (first.norm(dim=1) * second.norm(dim=1) + SMALLEST)
