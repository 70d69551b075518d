"""`kd`: Hinton's loss, and its form with standardised logits. Letters: B batch, C classes, T temperature."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST_DEVIATION = 1e-7  # added to a row's deviation, as in the code that published results come from


@dataclass(frozen=True, kw_only=True)
class Kd:
    """`T^2 * KL(softmax(teacher / T) || softmax(student / T))` of each sample.

    Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015); eq. 1 of KCD. The factor T^2 keeps
    the gradient at the same size for every temperature.

    Attributes
    ----------
    standardise
        Bring the logits of both to mean 0 and deviation 1 in each row first, so that the student need not match their
        size: Sun et al., "Logit standardization in knowledge distillation" (CVPR 2024).
    """

    takes_labels: ClassVar[bool] = False
    temperature: float
    standardise: bool = False

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        if self.standardise:
            student, teacher = standardise(student), standardise(teacher)
        return kl_divergence(student, teacher, self.temperature)


def kl_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return `T^2 * KL(softmax(teacher / T) || softmax(student / T))` of each sample: `[B, C], [B, C] -> [B]`."""
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1) * temperature**2


def standardise(logits: Tensor) -> Tensor:
    """Return `(z - mean(z)) / (std(z) + 1e-7)` of each row z of `logits[B, C]`; a row of equal logits becomes zeros.

    The deviation is the unbiased one, whose squares are divided by C - 1, as in the code of Sun et al. Divided by C,
    logits would be `sqrt(C / (C - 1))` times as large, and the loss between close ones `C / (C - 1)` times.
    """
    centred = logits - logits.mean(dim=1, keepdim=True)
    deviation = torch.linalg.vector_norm(centred, dim=1, keepdim=True) / math.sqrt(logits.shape[1] - 1)
    return centred / (deviation + SMALLEST_DEVIATION)
