"""`pkt`: probabilistic knowledge transfer, from features. Letters: B batch, D and E features of teacher and student."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-7  # added to probabilities, as in the definition that the field's numbers were made with


@dataclass(frozen=True)
class Pkt:
    """How far the student's batch is from being as alike as the teacher's: `student[B, E], teacher[B, D] -> []`.

    Passalis & Tefas, "Learning deep representations with probabilistic knowledge transfer" (ECCV 2018): with cosine
    similarities `K = (1 + cos) / 2` of all pairs of a batch, made conditional probabilities `p(j|i) = K_ij / sum_j
    K_ij`, the mean over all pairs of `p_T log(p_T / p_S)`. The mean, not the sum, is what RepDistiller's weight of
    30,000 belongs to. Student and teacher may have features of different widths.
    """

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        p_student, p_teacher = _alike(student), _alike(teacher)
        return (p_teacher * ((p_teacher + SMALLEST) / (p_student + SMALLEST)).log()).mean()


def _alike(features: Tensor) -> Tensor:
    """`p(j|i)` of `features[B, D]`: `[B, B]`, rows sum to 1."""
    unit = F.normalize(features, dim=1, eps=SMALLEST)
    kernel = (unit @ unit.T + 1) / 2
    return kernel / kernel.sum(dim=1, keepdim=True)
