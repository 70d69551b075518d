"""What `distill.loss` may be: a section for each loss, chosen by its name."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kcd_pipeline.config.section import NonNegative, Section


class KdLossConfig(Section):
    """Hinton's."""

    name: Literal["kd"] = "kd"
    standardise: bool = Field(
        default=False,
        description="kd: standardise both logits a row (CVPR 2024; published with temperature 2, kd_weight 9)",
    )


class DkdLossConfig(Section):
    """Decoupled."""

    name: Literal["dkd"]
    alpha: NonNegative = Field(
        default=1.0,
        description="dkd: weight of the true class against the rest (published with ce_weight 1, kd_weight 1)",
    )
    beta: NonNegative = Field(default=8.0, description="dkd: weight of the rest among themselves; 8 for CIFAR-100")


class DistLossConfig(Section):
    """Relations."""

    name: Literal["dist"]
    beta: NonNegative = Field(
        default=1.0, description="dist: weight of relations among the classes of a sample (published with ce_weight 1)"
    )
    gamma: NonNegative = Field(default=1.0, description="dist: weight of relations among the samples of a class")


class PktLossConfig(Section):
    """Hinton's, and beside it one on features."""

    name: Literal["pkt"]
    beta: NonNegative = Field(
        default=30_000.0,
        description="pkt: weight of the features' term beside kd_weight * kd (published with ce_weight 1, kd_weight 0)",
    )


def _named(value: Any) -> Any:
    """A loss that does not say its name is `kd`."""
    return {"name": "kd", **value} if isinstance(value, Mapping) else value


LossConfig = Annotated[
    KdLossConfig | DkdLossConfig | DistLossConfig | PktLossConfig, Field(discriminator="name"), BeforeValidator(_named)
]
