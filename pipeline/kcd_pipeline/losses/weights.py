"""The weights of labels and knowledge in an epoch's loss."""

from dataclasses import dataclass

from kcd_pipeline.config import DistillConfig


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The factors of the two parts of a loss over logits.

    Attributes
    ----------
    ce
        Factor of the cross-entropy with the labels, at least 0.
    kd
        Factor of the loss against the stored knowledge, at least 0.
    """

    ce: float
    kd: float


def loss_weights(config: DistillConfig, epoch: int, kept_fraction: float) -> LossWeights:
    """Return the weights of `epoch`, 0-based, in which `kept_fraction` (0..1] of the samples is trained on.

    They are `ce_weight` and `kd_weight` unless one of two keys is set.

    - `kd_follows_kept`: with the fraction f, `ce_weight * f` and `kd_weight + ce_weight * (1 - f)`, whose sum stays.
      Ben-Baruch et al., "Distilling the knowledge in data pruning" (ICML 2025), show by experiment that the best weight
      of the knowledge rises as fewer samples are kept; this rule is not theirs.
    - `kd_warmup` = w: the weight of the knowledge times `min((epoch + 1) / w, 1)`, as in the code of Zhao et al.,
      "Decoupled knowledge distillation" (CVPR 2022).

    The loss over features has neither.
    """
    ce, kd = config.ce_weight, config.kd_weight
    if config.kd_follows_kept:
        ce, kd = ce * kept_fraction, kd + ce * (1 - kept_fraction)
    if config.kd_warmup:
        kd *= min((epoch + 1) / config.kd_warmup, 1)
    return LossWeights(ce=ce, kd=kd)
