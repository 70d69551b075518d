"""The operations of `augmentation.name: pipeline`: one section for each, chosen by its name, and lists by name."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field

from kcd_pipeline.config.section import NOT_A_TRUTH_VALUE, Section
from kcd_pipeline.config.suggestions import did_you_mean
from kcd_stores import masked

Probability = Annotated[float, Field(ge=0, le=1), NOT_A_TRUTH_VALUE]


class CropOperation(Section):
    """A shift by up to `padding` pixels each way."""

    name: Literal["crop"]
    padding: Annotated[int, Field(ge=0, le=512), NOT_A_TRUTH_VALUE] = Field(
        default=4, description="crop: pixels added on each side before an image of the same size is cut out"
    )
    padding_mode: Literal["zeros", "reflect"] = Field(
        default="zeros", description="crop: content of the added pixels, black or the mirrored edge"
    )


class FlipOperation(Section):
    """A mirror image."""

    name: Literal["flip"]
    probability: Probability = Field(default=0.5, description="flip: probability with which a view is mirrored")
    direction: Literal["horizontal", "vertical"] = Field(
        default="horizontal", description="flip: whether left and right are exchanged, or top and bottom"
    )


OperationConfig = Annotated[CropOperation | FlipOperation, Discriminator("name")]

PRESETS: dict[str, tuple[dict[str, Any], ...]] = {
    "cifar": ({"name": "crop", "padding": 4}, {"name": "flip"}),
}


def _list_of_preset(value: Any) -> Any:
    """Return the list of operations that the name of a preset stands for; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(
            f"found {masked(value)!r}, expected a list of operations or one of {', '.join(PRESETS)}"
            f"{did_you_mean(value, PRESETS)}"
        )
    return PRESETS[value]


Operations = Annotated[tuple[OperationConfig, ...], Field(max_length=32), BeforeValidator(_list_of_preset)]
