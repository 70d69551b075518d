"""The section `augmentation.mix`: how the picture of a sample is mixed with that of another one."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from kcd_pipeline.config.section import NOT_A_TRUTH_VALUE, Fraction, Section

MixName = Literal["mixup", "cutmix", "mixup-cutmix"]
MIXES: tuple[str, ...] = get_args(MixName)

Alpha = Annotated[float, Field(ge=0.01, le=100), NOT_A_TRUTH_VALUE]


class MixConfig(Section):
    """Each picture is mixed with that of another sample; teacher and student see the same mixed picture."""

    name: MixName = Field(
        description="mixup (a weighted mean of the pixels of both), cutmix (a box of the other picture), or "
        "mixup-cutmix (one of the two, drawn for each view)"
    )
    alpha: Alpha = Field(
        default=0.8, description="mixup: the weight of a sample's own picture is drawn from Beta(alpha, alpha)"
    )
    cutmix_alpha: Alpha = Field(
        default=1.0,
        description="cutmix: the area that is left of a sample's own picture is drawn from Beta(alpha, alpha)",
    )
    switch_probability: Fraction = Field(
        default=0.5, description="mixup-cutmix: how often a picture that is mixed is mixed by cutmix"
    )
    probability: Fraction = Field(default=1.0, description="how often a picture is mixed at all")

    @model_validator(mode="after")
    def _require_takers(self) -> Self:
        of_others = {"mixup": ("cutmix_alpha", "switch_probability"), "cutmix": ("alpha", "switch_probability")}
        for key in of_others.get(self.name, ()):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(
                    f"{key} is {getattr(self, key):g}, but {self.name} does not use it: leave it out, or set name to "
                    f"mixup-cutmix"
                )
        return self


def _name_alone(value: Any) -> Any:
    """Return the mapping that stands for the name alone."""
    return {"name": value} if isinstance(value, str) else value


Mix = Annotated[MixConfig | None, BeforeValidator(_name_alone)]
