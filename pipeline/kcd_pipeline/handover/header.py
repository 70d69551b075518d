"""The header of a file of weights: what it says about the model, checked, because anybody may have written the file."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kcd_pipeline.data.preprocessing import Preprocessing
from kcd_pipeline.errors import UserError

Pixels = Annotated[int, Field(ge=1, le=8192)]
Numbers = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]


class ImageFacts(BaseModel):
    """How a picture becomes the image that the model takes; see `Preprocessing`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    channels: Annotated[int, Field(ge=1, le=1024)]
    height: Pixels
    width: Pixels
    resize: Annotated[int, Field(ge=1, le=65536)] | None
    exif: bool = False
    pixel_range: tuple[float, float] | None = None


class Header(BaseModel):
    """Facts that `kcd_pipeline.training.facts.weights_facts` wrote; those that are only told are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str
    arguments: dict[str, Any] = {}
    classes: tuple[str, ...] = Field(min_length=1)
    label_names: tuple[str, ...] | None = None
    mean: Numbers
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    image: ImageFacts
    trained: dict[str, Any] = {}
    test_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _require_names_that_fit(self) -> "Header":
        if self.label_names is not None and len(self.label_names) != len(self.classes):
            raise ValueError(f"{len(self.label_names)} label_names for {len(self.classes)} classes")
        self.preprocessing()
        return self

    def preprocessing(self) -> Preprocessing:
        """Return how a picture becomes what the model takes."""
        image = self.image
        return Preprocessing(
            image_shape=(image.channels, image.height, image.width),
            mean=self.mean,
            std=self.std,
            resize=image.resize,
            exif=image.exif,
            pixel_range=image.pixel_range,
        )


def parse_header(facts: dict[str, Any], source: Path | str) -> Header:
    """Return the header of the weights in `source`, which say `facts` of themselves.

    Raises
    ------
    UserError
        If something is missing or is not what it should be.
    """
    try:
        return Header.model_validate_json(json.dumps(facts))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "header"
        if not facts or first["type"] == "missing":
            raise UserError(
                f"the weights in {source} do not say what is needed to use them: there is no {key} in their header. "
                f"They were written by another program, or by an earlier version of this one. Train with this version, "
                f"which writes it."
            ) from error
        raise UserError(
            f"the header of the weights in {source} cannot be used: {key}: {first['msg']}. Take weights that "
            f"kcd-pipeline wrote, or write them anew."
        ) from error
