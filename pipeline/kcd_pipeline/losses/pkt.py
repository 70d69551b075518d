"""`pkt`: probabilistic knowledge transfer, over features. Letters: B batch, D and E features of teacher and student."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-7  # added to probabilities, as in the definition that published results come from


@dataclass(frozen=True)
class Pkt:
    """The divergence between the similarities within a batch, as the teacher's features and the student's show them.

    Passalis & Tefas, "Learning deep representations with probabilistic knowledge transfer" (ECCV 2018). With cosine
    similarities `K_ij = (1 + cos(i, j)) / 2` of all pairs of a batch and `p(j|i) = K_ij / sum_j K_ij`, the loss is the
    mean of `p_T log(p_T / p_S)` over all pairs. RepDistiller's weight of 30,000 belongs to this mean, not to a sum.
    """

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar, for features `student[B, E]` and `teacher[B, D]`; D and E may differ.

        Labels are what other losses over features may look at.
        """
        p_student, p_teacher = _similarities(student), _similarities(teacher)
        return (p_teacher * ((p_teacher + SMALLEST) / (p_student + SMALLEST)).log()).mean()


def _similarities(features: Tensor) -> Tensor:
    """Return `p(j|i)` of `features[B, D]`: `[B, B]`, whose rows sum to 1."""
    unit = F.normalize(features, dim=1, eps=SMALLEST)
    kernel = (unit @ unit.T + 1) / 2
    return kernel / kernel.sum(dim=1, keepdim=True)
