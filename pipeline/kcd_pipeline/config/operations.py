"""The operations of `augmentation.name: pipeline`: one section for each, chosen by its name, and lists by name."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, model_validator

from kcd_pipeline.config.section import NOT_A_TRUTH_VALUE, Section
from kcd_pipeline.config.suggestions import did_you_mean
from kcd_stores import masked

Probability = Annotated[float, Field(ge=0, le=1), NOT_A_TRUTH_VALUE]
Distance = Annotated[float, Field(ge=0, le=8), NOT_A_TRUTH_VALUE]
Sigma = Annotated[float, Field(gt=0, le=32), NOT_A_TRUTH_VALUE]
Byte = Annotated[int, Field(ge=0, le=255), NOT_A_TRUTH_VALUE]
Interpolation = Literal["nearest", "bilinear"]
INTERPOLATION = "how pixels of sheared, shifted and turned pictures are found"
FILL = "grey, 0 to 255, of pixels that come from outside the picture"


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


class RandAugmentOperation(Section):
    """Changes that are drawn from a set, with one strength."""

    name: Literal["randaugment"]
    number: Annotated[int, Field(ge=1, le=8), NOT_A_TRUTH_VALUE] = Field(
        default=2, description="randaugment: changes that are made to a view, one after the other"
    )
    magnitude: Annotated[float, Field(ge=0, le=30), NOT_A_TRUTH_VALUE] = Field(
        default=9, description="randaugment: strength of all changes, up to 30; with increasing, up to 10"
    )
    magnitude_std: Annotated[float, Field(ge=0, le=30), NOT_A_TRUTH_VALUE] = Field(
        default=0.0, description="randaugment: standard deviation of the magnitude, drawn anew for each change"
    )
    increasing: bool = Field(
        default=False, description="randaugment: timm's set of changes, which all grow with the magnitude (`inc1`)"
    )
    probability: Probability = Field(
        default=1.0, description="randaugment: probability with which each change is made (timm: 0.5)"
    )
    interpolation: Interpolation = Field(default="nearest", description=f"randaugment: {INTERPOLATION}")
    fill: Byte = Field(default=0, description=f"randaugment: {FILL}")

    @model_validator(mode="after")
    def _require_magnitude_within_set(self) -> Self:
        if self.increasing and self.magnitude > 10:
            raise ValueError(f"a randaugment that is increasing has magnitudes up to 10, found {self.magnitude:g}")
        return self


class TrivialAugmentOperation(Section):
    """One change that is drawn from a set, with a strength that is drawn too."""

    name: Literal["trivialaugment"]
    interpolation: Interpolation = Field(default="nearest", description=f"trivialaugment: {INTERPOLATION}")
    fill: Byte = Field(default=0, description=f"trivialaugment: {FILL}")


class ColorJitterOperation(Section):
    """Random brightness, contrast, saturation and hue, in a random order."""

    name: Literal["color-jitter"]
    brightness: Distance = Field(default=0.4, description="color-jitter: largest distance of the factor from 1")
    contrast: Distance = Field(default=0.4, description="color-jitter: largest distance of the factor from 1")
    saturation: Distance = Field(default=0.4, description="color-jitter: largest distance of the factor from 1")
    hue: Annotated[float, Field(ge=0, le=0.5), NOT_A_TRUTH_VALUE] = Field(
        default=0.0, description="color-jitter: largest part of a turn of the colour circle"
    )
    probability: Probability = Field(default=1.0, description="color-jitter: probability with which a view is changed")


class GrayscaleOperation(Section):
    """Shades of grey in place of colours."""

    name: Literal["grayscale"]
    probability: Probability = Field(default=0.1, description="grayscale: probability with which a view loses colour")


class GaussianBlurOperation(Section):
    """A blur of random width."""

    name: Literal["gaussian-blur"]
    kernel_size: Annotated[int, Field(ge=3, le=63), NOT_A_TRUTH_VALUE] = Field(
        default=5, description="gaussian-blur: pixels of the kernel in each direction, an odd number"
    )
    sigma: tuple[Sigma, Sigma] = Field(
        default=(0.1, 2.0), description="gaussian-blur: smallest and largest standard deviation in pixels"
    )
    probability: Probability = Field(default=1.0, description="gaussian-blur: probability with which a view is blurred")

    @model_validator(mode="after")
    def _require_odd_kernel_and_ordered_range(self) -> Self:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"the kernel_size of gaussian-blur is an odd number, found {self.kernel_size}")
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"sigma of gaussian-blur is [smallest, largest], found {list(self.sigma)}")
        return self


OperationConfig = Annotated[
    CropOperation
    | FlipOperation
    | RandAugmentOperation
    | TrivialAugmentOperation
    | ColorJitterOperation
    | GrayscaleOperation
    | GaussianBlurOperation,
    Discriminator("name"),
]

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
