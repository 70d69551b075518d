"""The loss of a student, from labels and from knowledge. Letters: B batch, C classes, D features."""

import torch
from torch import Tensor

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.config import DistillConfig
from kcd_pipeline.errors import UserError
from kcd_pipeline.losses import (
    PLAIN,
    CrossEntropy,
    LossWeights,
    compares_batch,
    key_of_comparison,
    make_feature_loss,
    make_loss,
)
from kcd_pipeline.models import FeatureTap


def require_sample_losses(config: DistillConfig, weighed_by: str) -> None:
    """Raise UserError if samples have weights, but the loss of `config` is no mean of losses that samples have.

    Parameters
    ----------
    weighed_by
        The key that gives samples weights, and its value, to begin the message with.
    """
    if compares_batch(config):
        raise UserError(
            f"{weighed_by}, which gives samples weights, but distill.loss.name is {config.loss.name}, which compares "
            f"all samples of a batch with each other: such a loss is no mean over samples that weights could apply to. "
            f"Set distill.loss.{key_of_comparison(config)}, or choose another loss or another policy."
        )


def require_no_logits(config: DistillConfig, without: str) -> None:
    """Raise UserError if the loss of `config` needs the logits of a teacher.

    Parameters
    ----------
    without
        The middle of the message: that there are none.
    """
    if make_feature_loss(config) is None:
        raise UserError(
            f"distill.loss.name is {config.loss.name}, which is on logits, {without}Take a loss on features, such as "
            f"pkt, with distill.kd_weight=0, or a store with logits."
        )
    if config.kd_weight or config.kd_follows_kept:
        key = f"kd_weight is {config.kd_weight:g}" if config.kd_weight else "kd_follows_kept is true"
        raise UserError(
            f"distill.{key}, which weighs a loss on logits, {without}Set distill.kd_weight=0 and "
            f"distill.kd_follows_kept=false, or take a store with logits."
        )


class DistillationLoss:
    """`ce * CE + kd * (the chosen loss on logits)`, plus the weighted loss on features if there is one.

    Parameters
    ----------
    tap
        Takes the student's features; without it, a loss on features is left out.
    cross_entropy
        CE, the loss with the labels.
    """

    def __init__(self, config: DistillConfig, tap: FeatureTap | None, cross_entropy: CrossEntropy = PLAIN) -> None:
        self._on_logits, self._on_features = make_loss(config), make_feature_loss(config)
        self._tap, self._cross_entropy = tap, cross_entropy

    def __call__(
        self,
        logits: Tensor,
        targets: Tensor,
        labels: Labels,
        *,
        classes: int,
        weights: LossWeights,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over the batch, a scalar, of the loss of each sample times its weight, for `logits[B, C]`.

        The sum is divided by B and not by the sum of the weights: weights that make up for samples left out keep the
        expected gradient only so.

        Parameters
        ----------
        targets
            `[B, C + D]`: the C logits that are taught, if any, and, for a loss on features, the D features.
        labels
            The labels of B.
        classes
            C; 0 if there are features alone.
        weights
            Factors of the cross-entropy and of the loss on logits in this epoch.
        sample_weight
            `[B]` float32, the factor of each sample's loss; None: 1. The loss on features is one number for the batch,
            and has no such factor.
        """
        return self.in_terms(logits, targets, labels, classes=classes, weights=weights, sample_weight=sample_weight)[0]

    def in_terms(
        self,
        logits: Tensor,
        targets: Tensor,
        labels: Labels,
        *,
        classes: int,
        weights: LossWeights,
        sample_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, as a call does, and the three terms it is the sum of.

        Returns
        -------
        loss
            Scalar, from which gradients come.
        terms
            `[3]` float32, detached: of labels, of the teacher's logits and of its features, with their weights.
        """
        ce = weights.ce * self._cross_entropy.each(logits, labels)
        kd = torch.zeros_like(ce)
        if classes:  # otherwise features alone are taught
            kd = weights.kd * self._from_logits(logits, targets[:, :classes], labels)
        if sample_weight is None:
            loss, terms = (ce + kd).mean(), [ce.detach().mean(), kd.detach().mean()]
        else:
            loss = (sample_weight * (ce + kd)).mean()
            terms = [(sample_weight * ce.detach()).mean(), (sample_weight * kd.detach()).mean()]
        if self._on_features is None or self._tap is None:
            return loss, torch.stack([*terms, torch.zeros_like(terms[0])]).float()
        weight, feature_loss = self._on_features
        on_features = weight * feature_loss(self._tap.take(), targets[:, classes:], labels.own)
        return loss + on_features, torch.stack([*terms, on_features.detach()]).float()

    def _from_logits(self, student: Tensor, teacher: Tensor, labels: Labels) -> Tensor:
        """Return the loss on logits of each sample, `[B]`: of a mixed one the mean over its two labels."""
        if self._on_logits.takes_labels:
            return labels.mean_of(lambda of: self._on_logits(student, teacher, of))
        return self._on_logits(student, teacher, labels.own)
