"""A value function and a policy. Letters: B samples of a batch, C classes."""

import numpy as np
import torch
from torch import Tensor

from kcd_pipeline.condensation import Choice, Situation


def shortfall(*, logits: Tensor, labels: Tensor, teacher: Tensor | None, power: float = 1.0) -> Tensor:
    """Return how much less likely each label is to the student than to its teacher, to a power: `[B]`, 0 to 1."""
    column = labels[:, None]
    student = torch.softmax(logits, dim=1).gather(1, column)
    expected = torch.ones_like(student) if teacher is None else torch.softmax(teacher, dim=1).gather(1, column)
    return (expected - student).clamp(min=0).pow(power).squeeze(1)


def half_at_random(situation: Situation) -> Choice:
    """Keep as many samples as the schedule says: half of them the most valued, half of them drawn from all others."""
    value = np.where(np.isnan(situation.value()), -np.inf, situation.value())  # NaN: never visited
    by_value = np.argsort(-value, kind="stable")
    top = situation.keep // 2
    draws = np.random.default_rng((situation.seed, situation.stage))
    drawn = draws.choice(by_value[top:], situation.keep - top, replace=False)
    return Choice(kept=np.sort(np.concatenate([by_value[:top], drawn])))
