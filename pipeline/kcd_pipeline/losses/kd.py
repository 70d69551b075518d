"""`kd`: Hinton's loss, and the same with standardised logits. Letters: B batch, C classes, T temperature."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST_VARIANCE = 1e-12  # of a row: below it, all its logits count as equal, and the gradient stays finite


@dataclass(frozen=True, kw_only=True)
class Kd:
    """`T^2 * KL(softmax(teacher / T) || softmax(student / T))`, mean over the batch.

    Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015), as eq. 1 of KCD has it; T^2
    keeps the gradient's size the same at every temperature.

    With `standardise`, both logits are brought to mean 0 and variance 1 a row first (`standardised`), so that the
    student need not match their size: Sun et al., "Logit standardization in knowledge distillation" (CVPR 2024).
    """

    temperature: float
    standardise: bool = False

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        if self.standardise:
            student, teacher = standardised(student), standardised(teacher)
        return relative_entropy(student, teacher, self.temperature)


def relative_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T^2 * KL(softmax(teacher / T) || softmax(student / T))`, mean over the batch: `[B, C], [B, C] -> []`."""
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def standardised(logits: Tensor) -> Tensor:
    """`(z - mean(z)) / std(z)` of each row `[B, C]`, std being that of the C logits as they are (divided by C).

    A row of equal logits becomes zeros.
    """
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + SMALLEST_VARIANCE)
