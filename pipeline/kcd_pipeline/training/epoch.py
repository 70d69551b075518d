"""The vocabulary of one epoch of training: objectives, the parts of an epoch, its sums and its result.

Letters: n samples trained in an epoch, B batch, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.losses import prediction_entropy

# (logits[B, C], labels[B], samples index[B]) -> the mean loss, a scalar
Objective = Callable[[Tensor, Tensor, NDArray[np.int64]], Tensor]

# some samples in the order of training, and the objective they are trained with
Part = tuple[NDArray[np.int64], Objective]


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochResult:
    """Result of one epoch.

    Attributes
    ----------
    loss, accuracy
        Means over the samples trained, each predicted just before its own optimizer step.
    order
        `[n]` int64: samples in the order of training.
    entropy
        `[n]` float32: entropy of the prediction on each, in nats, in the same order.
    steps
        Number of optimizer steps.
    seconds
        Time of training alone, without evaluation.
    """

    loss: float
    accuracy: float
    order: NDArray[np.int64]
    entropy: NDArray[np.float32]
    steps: int
    seconds: float


class EpochSums:
    """Sums over an epoch of `samples` samples, on the device; nothing is copied to the host while they grow.

    Each rank fills in its own samples and leaves the others at 0, so a sum over ranks is exact.

    Attributes
    ----------
    entropy
        `[n]` float32, nats, in the order of training.
    loss, correct
        Scalars float32: summed loss, number of right predictions.
    steps
        Number of batches added.
    """

    def __init__(self, samples: int, device: torch.device) -> None:
        self.entropy = torch.zeros(samples, device=device)
        self.loss, self.correct = torch.zeros((), device=device), torch.zeros((), device=device)
        self.steps = 0
        self._done = 0

    @torch.no_grad()
    def add(self, logits: Tensor, labels: Tensor, loss: Tensor, *, share: slice, batch_size: int) -> None:
        """Add a rank's `share` of a batch of `batch_size` samples: `logits[b, C]`, `labels[b]` and their mean loss."""
        self.entropy[self._done + share.start : self._done + share.stop] = prediction_entropy(logits)
        self.loss += loss * len(labels)
        self.correct += (logits.argmax(dim=1) == labels).sum()
        self._done += batch_size
        self.steps += 1


def label_objective(logits: Tensor, labels: Tensor, index: NDArray[np.int64]) -> Tensor:
    """Return the mean cross-entropy of `logits[B, C]` with `labels[B]`: the objective that needs no knowledge."""
    return F.cross_entropy(logits, labels)
