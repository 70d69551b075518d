"""The vocabulary of one epoch of training: objectives, the parts of an epoch, its sums and its result.

Letters: n samples trained in an epoch, B batch, C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.condensation.values import prediction_entropy
from kcd_pipeline.losses import PLAIN, CrossEntropy
from kcd_stores.scratch import Scratch

LARGEST_ON_DEVICE = 1 << 22  # worths that are held on the device; those of a longer epoch leave it now and then
LOSS_TERMS = ("ce", "kd", "features")  # of labels, of the teacher's logits, of its features


class StepOutcome(NamedTuple):
    """Result of an objective on a batch.

    Attributes
    ----------
    loss
        Scalar: the mean loss, from which gradients come.
    worth
        `[B]` float32, detached: what the knowledge of each sample is worth to the model at this visit.
    terms
        `[3]` float32, detached: what each of `LOSS_TERMS` adds to the loss; None if it is all of the first.
    """

    loss: Tensor
    worth: Tensor
    terms: Tensor | None = None


# (logits[B, C], labels of B, samples index[B]) -> loss and worth
Objective = Callable[[Tensor, Labels, NDArray[np.int64]], StepOutcome]

# some samples in the order of training, and the objective they are trained with
Part = tuple[NDArray[np.int64], Objective]


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochResult:
    """Result of one epoch.

    Attributes
    ----------
    loss, accuracy
        Means over the samples trained, each predicted before the optimizer step that it is part of.
    order
        `[n]` int64: samples in the order of training.
    worth
        `[n]` float32: worth of each, by the objective, in the same order.
    steps
        Number of optimizer steps.
    seconds
        Time of training alone, without evaluation.
    terms
        What each of `LOSS_TERMS` adds to the mean loss, those that are 0 left out.
    """

    loss: float
    accuracy: float
    order: NDArray[np.int64]
    worth: NDArray[np.float32]
    steps: int
    seconds: float
    terms: Mapping[str, float] = field(default_factory=dict)


class EpochSums:
    """Sums over an epoch of `samples` samples, on the device; nothing is copied to the host while they grow.

    Only of an epoch of more than LARGEST_ON_DEVICE samples, worths are: so many of them at a time. Each rank fills in
    its own samples and leaves the others at 0, so a sum over ranks is exact.

    Parameters
    ----------
    add_up
        Replaces a tensor by its sum over all ranks.
    scratch
        Place of the worths of all samples.

    Attributes
    ----------
    loss, correct
        Scalars float32: summed loss, number of right predictions.
    terms
        `[3]` float32: what each of `LOSS_TERMS` adds to the summed loss.
    batches
        Number of batches added.
    """

    def __init__(self, samples: int, device: torch.device, add_up: Callable[[Tensor], None], scratch: Scratch) -> None:
        self._worths, self._add_up = scratch.empty(samples, np.float32), add_up
        self._held = torch.zeros(min(samples, LARGEST_ON_DEVICE), device=device)
        self._copied, self._filled = 0, 0  # worths that have left the device; those that are there
        self.loss, self.correct = torch.zeros((), device=device), torch.zeros((), device=device)
        self.terms = torch.zeros(len(LOSS_TERMS), device=device)
        self.batches = 0

    @torch.no_grad()
    def add(self, logits: Tensor, labels: Labels, outcome: StepOutcome, *, share: slice, batch_size: int) -> None:
        """Add a rank's `share` of a batch of `batch_size` samples: `logits[b, C]`, `labels` of b and their outcome.

        A prediction is right if it is the label of the sample itself, be it mixed with another or not.
        """
        if self._filled + batch_size > len(self._held):
            self._copy_worths()
            if batch_size > len(self._held):
                self._held = self._held.new_zeros(batch_size)
        self._held[self._filled + share.start : self._filled + share.stop] = outcome.worth
        self.loss += outcome.loss * len(labels)
        if outcome.terms is None:
            self.terms[0] += outcome.loss * len(labels)
        else:
            self.terms += outcome.terms * len(labels)
        self.correct += (logits.argmax(dim=1) == labels.own).sum()
        self._filled += batch_size
        self.batches += 1

    def worths(self) -> NDArray[np.float32]:
        """Return the worths of all ranks' samples, `[n]` float32 in the order of training; all ranks must call this."""
        self._copy_worths()
        return self._worths

    def _copy_worths(self) -> None:
        held = self._held[: self._filled]
        self._add_up(held)
        self._worths[self._copied : self._copied + self._filled] = held.cpu().numpy()
        held.zero_()
        self._copied, self._filled = self._copied + self._filled, 0

    def mean_terms(self, samples: int) -> dict[str, float]:
        """Return what each of `LOSS_TERMS` adds to the mean loss of so many samples, those that are 0 left out."""
        return {name: total / samples for name, total in zip(LOSS_TERMS, self.terms.tolist(), strict=True) if total}


def label_objective(cross_entropy: CrossEntropy = PLAIN) -> Objective:
    """Return the objective that learns from labels alone, with the entropies of the predictions as worths."""

    def objective(logits: Tensor, labels: Labels, index: NDArray[np.int64]) -> StepOutcome:
        return StepOutcome(cross_entropy.mean(logits, labels), prediction_entropy(logits))

    return objective
