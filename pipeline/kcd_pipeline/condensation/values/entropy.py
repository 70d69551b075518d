"""The entropy of a prediction, the value of the paper. Letters: B batch, C classes."""

import torch
from torch import Tensor
from torch.nn import functional as F


def prediction_entropy(logits: Tensor) -> Tensor:
    """Return `H = -sum_c p_c log p_c` in nats, at temperature 1 (eq. 7 of KCD): `logits[B, C]` -> `[B]` float32.

    It is computed from the log-softmax, so that p = 0 contributes 0 and never NaN.
    """
    log_p = F.log_softmax(logits.detach().float(), dim=1)
    return -(log_p.exp() * log_p.clamp(min=torch.finfo(torch.float32).min)).sum(dim=1)
