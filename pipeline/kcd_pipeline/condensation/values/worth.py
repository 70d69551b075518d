"""The worth of a sample's knowledge to the student at one visit. Letters: N samples, n visited, B batch, C classes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.condensation.values.accumulation import running_mean

# (logits[B, C], labels[B], teacher[B, C] or None) -> worth[B] float32
Measure = Callable[[Tensor, Tensor, Tensor | None], Tensor]

# (value[N], frequency[N], latest[N], index[n], worth[n]) -> None, in place
Accumulate = Callable[
    [NDArray[np.float64], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]], None
]


@dataclass(frozen=True, kw_only=True)
class Worth:
    """A value function: it measures each visit, on the device and without waiting for it, and adds visits up.

    Attributes
    ----------
    name
        Its name in `condense.value`.
    measure
        Computes the worths of a batch.
    needs_teacher
        True if it looks at the teacher's rows.
    takes_labels
        True if it is to look at both labels of a picture that is mixed of two. It then is the mean over them.
    accumulate
        Records visits in V, F and the latest worth; it raises ValueError if a worth is not finite.
    """

    name: str
    measure: Measure
    needs_teacher: bool = False
    takes_labels: bool = False
    accumulate: Accumulate = running_mean

    @torch.no_grad()
    def __call__(self, logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        """Return the worth `[B]` float32 of each sample of a batch, on its device.

        Parameters
        ----------
        logits
            `[B, C]` float32, of the student.
        labels
            `[B]` int64.
        teacher
            `[B, C]` float32: the logits that the step is taught; None without a teacher.
        """
        return self.measure(logits.detach(), labels, teacher)
