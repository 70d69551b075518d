"""The operations of `augmentation.name: pipeline`: one section for each, chosen by its name, and lists by name."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, WithJsonSchema, model_validator

from kcd_pipeline.config.section import NOT_A_TRUTH_VALUE, Area, Aspect, Section, require_order
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
        default=4, description="pixels added on each side before an image of the same size is cut out"
    )
    padding_mode: Literal["zeros", "reflect"] = Field(
        default="zeros", description="content of the added pixels, black or the mirrored edge"
    )


class ResizedCropOperation(Section):
    """A box of random area and shape, scaled to the size of the image."""

    name: Literal["resized-crop"]
    scale: tuple[Area, Area] = Field(
        default=(0.08, 1.0), description="smallest and largest area of the box, as a fraction of the image"
    )
    ratio: tuple[Aspect, Aspect] = Field(
        default=(0.75, 4 / 3), description="smallest and largest width over height of the box"
    )

    _order = require_order("scale", "ratio")


class FlipOperation(Section):
    """A mirror image."""

    name: Literal["flip"]
    probability: Probability = Field(default=0.5, description="probability with which a view is mirrored")
    direction: Literal["horizontal", "vertical"] = Field(
        default="horizontal", description="whether left and right are exchanged, or top and bottom"
    )


class QuarterTurnOperation(Section):
    """A turn of a square image by 0, 90, 180 or 270 degrees."""

    name: Literal["quarter-turn"]


def _require_erased_value(value: Any) -> Any:
    """Return what an erased pixel becomes: a byte, or `noise`."""
    if value == "noise" or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255):
        return value
    raise ValueError(f"found {masked(str(value))}, expected a whole number from 0 to 255, or noise")


ErasedValue = Annotated[
    int | str, BeforeValidator(_require_erased_value), WithJsonSchema({"type": "integer ≥ 0, ≤ 255, or `noise`"})
]


class ErasingOperation(Section):
    """A box that is replaced by one value or by noise."""

    name: Literal["erasing"]
    probability: Probability = Field(default=0.5, description="probability with which a view has an erased box")
    scale: tuple[Area, Area] = Field(
        default=(0.02, 0.33), description="smallest and largest area of the box, as a fraction of the image"
    )
    ratio: tuple[Aspect, Aspect] = Field(
        default=(0.3, 3.3), description="smallest and largest height over width of the box"
    )
    value: ErasedValue = Field(
        default=0, description="content of the box: one value of all pixels, 0 (black) to 255 (white), or noise"
    )

    _order = require_order("scale", "ratio")


class RandAugmentOperation(Section):
    """Changes that are drawn from a set, with one strength."""

    name: Literal["randaugment"]
    number: Annotated[int, Field(ge=1, le=8), NOT_A_TRUTH_VALUE] = Field(
        default=2, description="changes that are made to a view, one after the other"
    )
    magnitude: Annotated[float, Field(ge=0, le=30), NOT_A_TRUTH_VALUE] = Field(
        default=9, description="strength of all changes, up to 30; with increasing, up to 10"
    )
    magnitude_std: Annotated[float, Field(ge=0, le=30), NOT_A_TRUTH_VALUE] = Field(
        default=0.0, description="standard deviation of the magnitude, drawn anew for each change"
    )
    increasing: bool = Field(
        default=False, description="timm's set of changes, which all grow with the magnitude (`inc1`)"
    )
    probability: Probability = Field(default=1.0, description="probability with which each change is made (timm: 0.5)")
    interpolation: Interpolation = Field(default="nearest", description=INTERPOLATION)
    fill: Byte = Field(default=0, description=FILL)

    @model_validator(mode="after")
    def _require_magnitude_within_set(self) -> Self:
        if self.increasing and self.magnitude > 10:
            raise ValueError(f"a randaugment that is increasing has magnitudes up to 10, found {self.magnitude:g}")
        return self


class TrivialAugmentOperation(Section):
    """One change that is drawn from a set, with a strength that is drawn too."""

    name: Literal["trivialaugment"]
    interpolation: Interpolation = Field(default="nearest", description=INTERPOLATION)
    fill: Byte = Field(default=0, description=FILL)


class ColorJitterOperation(Section):
    """Random brightness, contrast, saturation and hue, in a random order."""

    name: Literal["color-jitter"]
    brightness: Distance = Field(default=0.4, description="largest distance of the factor from 1")
    contrast: Distance = Field(default=0.4, description="largest distance of the factor from 1")
    saturation: Distance = Field(default=0.4, description="largest distance of the factor from 1")
    hue: Annotated[float, Field(ge=0, le=0.5), NOT_A_TRUTH_VALUE] = Field(
        default=0.0, description="largest part of a turn of the colour circle"
    )
    probability: Probability = Field(default=1.0, description="probability with which a view is changed")


class GrayscaleOperation(Section):
    """Shades of grey in place of colours."""

    name: Literal["grayscale"]
    probability: Probability = Field(default=0.1, description="probability with which a view loses colour")


class GaussianBlurOperation(Section):
    """A blur of random width."""

    name: Literal["gaussian-blur"]
    kernel_size: Annotated[int, Field(ge=3, le=63), NOT_A_TRUTH_VALUE] = Field(
        default=5, description="pixels of the kernel in each direction, an odd number"
    )
    sigma: tuple[Sigma, Sigma] = Field(
        default=(0.1, 2.0), description="smallest and largest standard deviation in pixels"
    )
    probability: Probability = Field(default=1.0, description="probability with which a view is blurred")

    _order = require_order("sigma")

    @model_validator(mode="after")
    def _require_odd_kernel(self) -> Self:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"the kernel_size of gaussian-blur is an odd number, found {self.kernel_size}")
        return self


OperationConfig = Annotated[
    CropOperation
    | ResizedCropOperation
    | FlipOperation
    | QuarterTurnOperation
    | ErasingOperation
    | RandAugmentOperation
    | TrivialAugmentOperation
    | ColorJitterOperation
    | GrayscaleOperation
    | GaussianBlurOperation,
    Discriminator("name"),
]

# timm's `rand-m9-mstd0.5-inc1` and its random erasing, with which DeiT and TinyViT were trained
_OF_SMALL_TRANSFORMERS: tuple[dict[str, Any], ...] = (
    {"name": "resized-crop"},
    {"name": "flip"},
    {
        "name": "randaugment",
        "number": 2,
        "magnitude": 9,
        "magnitude_std": 0.5,
        "increasing": True,
        "probability": 0.5,
        "interpolation": "bilinear",
        "fill": 116,
    },
    {"name": "erasing", "probability": 0.25, "scale": [0.02, 1 / 3], "ratio": [0.3, 10 / 3], "value": "noise"},
)
PRESETS: dict[str, tuple[dict[str, Any], ...]] = {
    "cifar": ({"name": "crop"}, {"name": "flip"}, {"name": "trivialaugment"}),
    "imagenet": ({"name": "resized-crop"}, {"name": "flip"}),
    "deit": _OF_SMALL_TRANSFORMERS,
    "tinyvit": _OF_SMALL_TRANSFORMERS,
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
