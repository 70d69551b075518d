"""`dkd`: decoupled knowledge distillation. Letters: B batch, C classes, T temperature.

Zhao et al., "Decoupled knowledge distillation" (CVPR 2022): KD's relative entropy is the sum of one over (the true
class, the rest together) and one among the rest, the latter weighted by the teacher's `1 - p_t`; here each has a
weight of its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.losses.kd import relative_entropy


@dataclass(frozen=True, kw_only=True)
class Dkd:
    """`alpha * TCKD + beta * NCKD`, each times T^2 and the mean over the batch."""

    temperature: float
    alpha: float
    beta: float

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        target = target_class(student, teacher, labels, self.temperature)
        others = relative_entropy(without(student, labels), without(teacher, labels), self.temperature)
        return self.alpha * target + self.beta * others


def target_class(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """TCKD: `T^2 * KL((p_t, 1 - p_t) || (q_t, 1 - q_t))`, p the teacher's, q the student's, t the true class: `[]`."""
    log_student, log_teacher = (_log_binary(logits / temperature, labels) for logits in (student, teacher))
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


def without(logits: Tensor, labels: Tensor) -> Tensor:
    """`[B, C] -> [B, C - 1]`: each row's logits but that of its label, whose softmax is that among the rest."""
    places = torch.arange(logits.shape[1] - 1, device=logits.device)
    # looked up by place and not by a mask, whose count the host would have to wait for
    return logits.gather(1, places + (places >= labels[:, None]))


def _log_binary(scaled: Tensor, labels: Tensor) -> Tensor:
    """`[B, 2]`: log of the true class' probability and of the rest's, neither by subtraction from 1."""
    target = scaled.gather(1, labels[:, None])
    rest = torch.logsumexp(without(scaled, labels), dim=1, keepdim=True)
    return F.log_softmax(torch.cat([target, rest], dim=1), dim=1)
