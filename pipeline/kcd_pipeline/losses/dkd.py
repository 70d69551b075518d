"""`dkd`: decoupled knowledge distillation. Letters: B batch, C classes, T temperature.

Zhao et al., "Decoupled knowledge distillation" (CVPR 2022). KD's divergence is a sum: the divergence
between the true class and all others together (TCKD), and `1 - p_t` times the divergence among the others (NCKD), p_t
being the teacher's probability of the true class. Here each of the two has a weight of its own.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.losses.kd import kl_divergence


@dataclass(frozen=True, kw_only=True)
class Dkd:
    """`alpha * TCKD + beta * NCKD`, each times T^2, of each sample."""

    takes_labels: ClassVar[bool] = True
    temperature: float
    alpha: float
    beta: float

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        target = target_class_loss(student, teacher, labels, self.temperature)
        others = kl_divergence(without_target(student, labels), without_target(teacher, labels), self.temperature)
        return self.alpha * target + self.beta * others


def target_class_loss(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return TCKD, `T^2 * KL((p_t, 1 - p_t) || (q_t, 1 - q_t))`, of each sample: `[B, C], [B, C], [B] -> [B]`.

    p_t and q_t are the teacher's and the student's probability of the true class, at temperature T.
    """
    log_student, log_teacher = (_log_target_and_others(logits / temperature, labels) for logits in (student, teacher))
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1) * temperature**2


def without_target(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each row of `logits[B, C]` without the logit of its label: `[B, C - 1]`.

    Its softmax is the distribution among the other classes.
    """
    places = torch.arange(logits.shape[1] - 1, device=logits.device)
    # gathered by place: for a mask the host would have to wait for its count
    return logits.gather(1, places + (places >= labels[:, None]))


def _log_target_and_others(scaled: Tensor, labels: Tensor) -> Tensor:
    """Return the logs of `p_t` and `1 - p_t`, `[B, 2]`; neither is a difference, which would lose digits near 1."""
    target = scaled.gather(1, labels[:, None])
    others = torch.logsumexp(without_target(scaled, labels), dim=1, keepdim=True)
    return F.log_softmax(torch.cat([target, others], dim=1), dim=1)
