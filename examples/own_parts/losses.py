"""Losses: one over logits, one over features. Letters: B samples of a batch, C classes, D and E features."""

import torch
from torch import Tensor
from torch.nn import functional as F


def match_logits(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Return half the squared distance of the logits `[B, C]` of each sample, whose mean over classes is 0: `[B]`.

    Ba & Caruana, "Do deep nets really need to be deep?" (NeurIPS 2014), regress logits so.
    """
    student, teacher = (logits - logits.mean(dim=1, keepdim=True) for logits in (student, teacher))
    return 0.5 * (student - teacher).square().mean(dim=1)


def match_distances(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Compare the distances between the samples of a batch, each over their mean, by features `[B, E]` and `[B, D]`.

    Park et al., "Relational knowledge distillation" (CVPR 2019), eq. 4 to 6; D and E may differ.
    """
    if len(student) < 2:  # the last batch may have one sample
        return student.sum() * 0
    own, taught = (torch.pdist(features) for features in (student, teacher))
    return F.smooth_l1_loss(own / own.mean(), taught / taught.mean())
