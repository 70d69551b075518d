"""The section `augmentation`: how the views of a sample are made."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kcd_pipeline.config.mixing import Mix
from kcd_pipeline.config.operations import Operations
from kcd_pipeline.config.section import (
    NOT_A_TRUTH_VALUE,
    Area,
    Arguments,
    Aspect,
    Section,
    Seed,
    name_or_part,
    require_no_arguments,
    require_order,
)

AUGMENTATION_NAMES = ("none", "crop-flip", "resized-crop-flip", "pipeline")


class AugmentationConfig(Section):
    """The views of a sample; each is a pure function of (seed, sample, view)."""

    name: Annotated[str, Field(max_length=200), name_or_part(*AUGMENTATION_NAMES)] = Field(
        default="crop-flip",
        description="how views are made: none (every view is the image itself), crop-flip, resized-crop-flip, "
        "pipeline (the list in `operations`), or package.module:callable; see docs/how-to/augmentation.md and "
        "docs/how-to/bring-your-own.md",
    )
    arguments: Arguments = Field(default={}, description="keyword arguments of an augmentation of your own")
    seed: Seed = Field(
        default=0,
        description="seed of the views; it is not the run's seed, so that students of all seeds share one store",
    )
    padding: Annotated[int, Field(ge=0, le=512), NOT_A_TRUTH_VALUE] = Field(
        default=4, description="crop-flip: pixels added on each side before an image of the same size is cut out"
    )
    padding_mode: Literal["zeros", "reflect"] = Field(
        default="zeros", description="crop-flip: content of the added pixels, black or the mirrored edge"
    )
    flip: bool = Field(
        default=True, description="crop-flip, resized-crop-flip: mirror left to right with probability one half"
    )
    scale: tuple[Area, Area] = Field(
        default=(0.5, 1.0),
        description="resized-crop-flip: smallest and largest area of the crop, as a fraction of the image",
    )
    ratio: tuple[Aspect, Aspect] = Field(
        default=(0.75, 4 / 3), description="resized-crop-flip: smallest and largest width over height of the crop"
    )

    operations: Operations = Field(
        default=(),
        description="pipeline: operations, one after the other, each a mapping with its `name` and keys, or the name "
        "of a list: cifar, imagenet, deit, tinyvit; see docs/how-to/augmentation.md",
    )

    mix: Mix = Field(
        default=None,
        description="mixup and CutMix: how the picture is mixed with that of another sample, a mapping or its name; "
        "null: it is not; see docs/how-to/mixing.md",
    )

    @model_validator(mode="after")
    def _require_operations(self) -> "AugmentationConfig":
        if self.name == "pipeline" and not self.operations:
            raise ValueError(
                "name is pipeline, but operations is empty: set operations to a list such as [{name: crop}, {name: "
                "flip}], or to the name of one, such as cifar"
            )
        if self.operations and self.name != "pipeline":
            raise ValueError(
                f"operations are for name: pipeline, and name is {self.name}: set name to pipeline, or operations to []"
            )
        return self

    @model_validator(mode="after")
    def _require_taker_of_arguments(self) -> "AugmentationConfig":
        require_no_arguments("arguments", self.name, self.arguments)
        return self

    _order = require_order("scale", "ratio")
