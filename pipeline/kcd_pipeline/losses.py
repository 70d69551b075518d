"""Losses of distillation, over logits. Letters: B batch, C classes, T temperature."""

import torch
from torch import Tensor
from torch.nn import functional as F


def kd_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T^2 * KL(softmax(teacher / T) || softmax(student / T))`, mean over the batch: `[B, C], [B, C] -> []`.

    Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015), as eq. 1 of KCD has it; T^2
    keeps the gradient's size the same at every temperature.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def prediction_entropy(logits: Tensor) -> Tensor:
    """`H = -sum_c p log p` in nats at temperature 1: `[B, C] -> [B]` float32 (eq. 7 of KCD).

    From the log-softmax, so that p = 0 contributes 0 and never NaN.
    """
    log_p = F.log_softmax(logits.detach().float(), dim=1)
    return -(log_p.exp() * log_p.clamp(min=torch.finfo(torch.float32).min)).sum(dim=1)
