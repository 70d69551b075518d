"""Losses of the user's own, called as `f(student, teacher, labels)`. Letters: B batch, C classes, D and E features."""

from typing import ClassVar

import torch
from torch import Tensor

from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.own_parts import OwnPart

TRIED = 4  # samples of the batch that a loss is tried on


class OwnLoss:
    """A part of the user's own as a loss, over logits or over features.

    It is given `student` and `teacher`, `[B, C]` logits or `[B, E]` and `[B, D]` features, and `labels[B]` int64, and
    `temperature` if it takes one.

    Parameters
    ----------
    each
        True if it must return `[B]`, a loss for each sample; False if it must return one number for the batch.
    """

    takes_labels: ClassVar[bool] = True

    def __init__(self, part: OwnPart, *, temperature: float, each: bool) -> None:
        self.part, self._temperature, self._each = part, temperature, each

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, `[B]` or a scalar.

        Raises
        ------
        FailedError
            If the part raises something, or returns anything else.
        """
        try:
            # copies: values are still to be measured on these two, whatever the part does with its own
            found = self.part(student, teacher.clone(), labels.clone(), temperature=self._temperature)
        except Exception as error:  # code of the user's may raise anything
            raise FailedError(
                f"distill.loss.name: {self.part.name} failed on a batch of {len(labels)} samples: "
                f"{type(error).__name__}: {error}. It is called with student {list(student.shape)}, teacher "
                f"{list(teacher.shape)} and labels {list(labels.shape)}."
            ) from error
        shape = [len(labels)] if self._each else []
        if not isinstance(found, Tensor) or list(found.shape) != shape or found.device != student.device:
            what = f"shape {list(found.shape)} on {found.device}" if isinstance(found, Tensor) else type(found).__name__
            raise FailedError(
                f"distill.loss.name: {self.part.name} returned {what}, expected a tensor of shape {shape} on "
                f"{student.device}: {'the loss of each sample' if self._each else 'one number for the batch'}."
            )
        return found.float()

    def try_out(self, *, student: int, teacher: int, classes: int, compares_batch: bool) -> None:
        """Compute loss and gradient of a small batch, with so many columns of each.

        Raises
        ------
        UserError
            If no finite gradient reaches the student, or the loss of a sample depends on the others of its batch and
            `compares_batch` says that it does not.
        FailedError
            If the part fails on it.
        """
        with torch.random.fork_rng(devices=[]):  # the initial weights must not depend on what it draws
            torch.manual_seed(0)
            first = torch.randn(TRIED, student).requires_grad_()
            second, labels = torch.randn(TRIED, teacher), torch.arange(TRIED) % classes
            loss = self(first, second, labels)
            if not loss.requires_grad:
                raise UserError(
                    f"distill.loss.name: what {self.part.name} returns does not depend on the student in a way that "
                    f"has a gradient. Leave out .detach(), .item(), argmax and the like."
                )
            (gradient,) = torch.autograd.grad(loss.mean(), first)
            if not (torch.isfinite(loss).all() and torch.isfinite(gradient).all()):
                raise UserError(
                    f"distill.loss.name: {self.part.name} has a loss or a gradient that is not finite on a batch of "
                    f"{TRIED} samples of ordinary logits. Mend it: training would diverge at the first step."
                )
            half = TRIED // 2
            if compares_batch or torch.allclose(loss[:half], self(first[:half], second[:half], labels[:half]), 1e-4):
                return
        raise UserError(
            f"distill.loss.name: the loss that {self.part.name} returns for a sample depends on the other samples of "
            f"its batch. If that is meant, set distill.loss.compares_batch=true: it then needs one process, and "
            f"samples without weights. If not, return a loss for each sample, without a mean over the batch."
        )
