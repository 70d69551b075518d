"""The loss of a student that learns from knowledge. Letters: B batch, C classes, D features."""

from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.config import DistillConfig
from kcd_pipeline.losses import make_feature_loss, make_loss
from kcd_pipeline.models import FeatureTap


class DistillationLoss:
    """`ce_weight * CE + kd_weight * (the chosen loss on logits)`, plus the weighted loss on features if there is one.

    Parameters
    ----------
    tap
        Takes the student's features; without it, a loss on features is left out.
    """

    def __init__(self, config: DistillConfig, tap: FeatureTap | None) -> None:
        self._ce_weight, self._kd_weight = config.ce_weight, config.kd_weight
        self._on_logits, self._on_features = make_loss(config), make_feature_loss(config)
        self._tap = tap

    def __call__(self, logits: Tensor, targets: Tensor, labels: Tensor, *, classes: int) -> Tensor:
        """Return the mean loss of `logits[B, C]`, a scalar.

        Parameters
        ----------
        targets
            `[B, C + D]`: the C logits that are taught and, for a loss on features, the D features.
        labels
            `[B]` int64.
        classes
            C.
        """
        knowledge = self._on_logits(logits, targets[:, :classes], labels)
        loss = self._ce_weight * F.cross_entropy(logits, labels) + self._kd_weight * knowledge
        if self._on_features is None or self._tap is None:
            return loss
        weight, feature_loss = self._on_features
        return loss + weight * feature_loss(self._tap.take(), targets[:, classes:])
