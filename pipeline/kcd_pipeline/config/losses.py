"""The section `distill.loss`: one form for each loss, chosen by its name."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from kcd_pipeline.config.section import OWN, Arguments, Section, Weight, is_part_name, name_or_part


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


class OwnLossConfig(Section):
    """A loss of the user's own, over logits or over features."""

    name: Annotated[str, Field(max_length=200), name_or_part()]
    arguments: Arguments = Field(
        default={}, description="package.module:callable: keyword arguments of a loss of your own"
    )
    over: Literal["logits", "features"] = Field(
        default="logits",
        description="package.module:callable: what it compares, logits in the place of kd, or penultimate features, as "
        "a term beside kd; see docs/how-to/bring-your-own.md",
    )
    beta: Weight = Field(
        default=1.0, description="package.module:callable over features: its weight, beside kd_weight * kd"
    )
    compares_batch: bool = Field(
        default=False,
        description="package.module:callable over logits: the loss of a sample depends on the others of its batch",
    )


def _kd_if_unnamed(value: Any) -> Any:
    """Call a loss without a name `kd`."""
    return {"name": "kd", **value} if isinstance(value, Mapping) else value


def _form(value: Any) -> str:
    """Return the name of a loss, or OWN for one of the user's own: the form of its section."""
    name = str(value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None))
    return OWN if is_part_name(name) else name


LossConfig = Annotated[
    Annotated[KdLossConfig, Tag("kd")]
    | Annotated[DkdLossConfig, Tag("dkd")]
    | Annotated[DistLossConfig, Tag("dist")]
    | Annotated[PktLossConfig, Tag("pkt")]
    | Annotated[OwnLossConfig, Tag(OWN)],
    Field(discriminator=Discriminator(_form)),
    BeforeValidator(_kd_if_unnamed),
]
