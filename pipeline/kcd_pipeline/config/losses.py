"""The section `distill.loss`: one form for each loss, chosen by its name."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kcd_pipeline.config.section import Section, Weight


class KdLossConfig(Section):
    """Hinton's loss, also with standardised logits."""

    name: Literal["kd"] = "kd"
    standardise: bool = Field(
        default=False,
        description="kd: bring the logits of each row to mean 0 and deviation 1 first (CVPR 2024; published with "
        "ce_weight 0.1, kd_weight 9 and temperature 2 or 3)",
    )


class DkdLossConfig(Section):
    """Decoupled knowledge distillation."""

    name: Literal["dkd"]
    alpha: Weight = Field(
        default=1.0,
        description="dkd: weight of the true class against all others (published with temperature 4, ce_weight 1, "
        "kd_weight 1, kd_warmup 20)",
    )
    beta: Weight = Field(
        default=8.0,
        description="dkd: weight of the other classes among each other (published with 2, 6 or 8 for CIFAR-100, by "
        "the pair of teacher and student; see docs/how-to/methods-and-losses.md)",
    )


class DistLossConfig(Section):
    """Correlations over classes and over samples."""

    name: Literal["dist"]
    beta: Weight = Field(
        default=1.0,
        description="dist: weight of the correlation over the classes of each sample (published with temperature 4, "
        "ce_weight 1, kd_weight 2 for CIFAR-100)",
    )
    gamma: Weight = Field(default=1.0, description="dist: weight of the correlation over the samples of each class")


class PktLossConfig(Section):
    """Hinton's loss over logits, and beside it one over features."""

    name: Literal["pkt"]
    beta: Weight = Field(
        default=30_000.0,
        description="pkt: weight of the term over features, beside kd_weight * kd (published with ce_weight 1, "
        "kd_weight 0)",
    )


def _kd_if_unnamed(value: Any) -> Any:
    """Call a loss without a name `kd`."""
    return {"name": "kd", **value} if isinstance(value, Mapping) else value


LossConfig = Annotated[
    KdLossConfig | DkdLossConfig | DistLossConfig | PktLossConfig,
    Field(discriminator="name"),
    BeforeValidator(_kd_if_unnamed),
]
