"""The keys of a recipe about the images that teacher and student are trained on."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from kcd_pipeline.config.places import SharedFolder, require_text
from kcd_pipeline.config.section import (
    NOT_A_TRUTH_VALUE,
    OWN,
    Arguments,
    Count,
    Deviation,
    GreyValue,
    HeldOut,
    PixelValue,
    Section,
    Seed,
    is_part_name,
    name_or_part,
    require_no_arguments,
)

LARGEST_PICTURE = 178_956_970  # pixels: Pillow opens no file that claims more
DATA_NAMES = (
    "digits",
    "fashion-mnist",
    "cifar10",
    "cifar100",
    "imagefolder",
    "tiny-imagenet",
    "imagenet",
    "csv",
    "webdataset",
    "huggingface",
    "parquet",
)

Text = Annotated[str, AfterValidator(require_text)]

LISTED = ("csv", "webdataset", "huggingface", "parquet")  # data sets whose splits, columns and classes can be named
FOLDERS = ("imagefolder", "tiny-imagenet", "imagenet")
TAKEN_BY = {  # keys that only some data sets look at
    "train": (*LISTED, OWN),
    "test": (*LISTED, OWN),
    "image_column": LISTED,
    "label_column": LISTED,
    "classes": (*LISTED, OWN),
    "test_folder": FOLDERS,
}


class DataConfig(Section):
    """The images that teacher and student are trained on."""

    name: Annotated[str, Field(max_length=200), name_or_part(*DATA_NAMES)] = Field(
        description="the data set: digits, fashion-mnist, cifar10, cifar100, tiny-imagenet or imagenet; or, for images "
        "of your own, imagefolder (a folder of folders), csv (a table of paths), webdataset (tar shards), huggingface, "
        "parquet, or package.module:callable, which makes torch datasets",
    )
    arguments: Arguments = Field(default={}, description="keyword arguments of a data set by package.module:callable")
    root: SharedFolder = Field(
        default=Path("data"), description="the folder that holds the data set; digits needs none"
    )
    download: bool = Field(
        default=False,
        description="fetch fashion-mnist, cifar10, cifar100 or what hub names into root if it is not there",
    )
    hub: Text | None = Field(
        default=None, description="huggingface: the name on the hub of what root holds, or what is fetched into it"
    )
    subset: Text | None = Field(default=None, description="huggingface: the subset of hub, which may need one")
    revision: Text | None = Field(
        default=None, description="huggingface: the branch, tag or commit of hub; null: the newest"
    )
    image_size: Annotated[int, Field(ge=1, le=8192), NOT_A_TRUTH_VALUE] | None = Field(
        default=None,
        description="images in files: scale the shorter side, then cut this many pixels a side out of the middle; "
        "null: 64 for tiny-imagenet, 224 (of 256) for imagenet, and images as they are for the others",
    )
    test_folder: Text | None = Field(
        default=None,
        description="folders of images: the folder below root that holds the labelled test images; null: test or val "
        "for imagefolder, whichever holds anything, and val for the others",
    )
    validation: HeldOut | None = Field(
        default=None,
        description="images by which the best epoch is chosen and training may stop early: a fraction of the training "
        "images, which are trained on no more, or the name of the folder, file or split that holds them; null: none, "
        "and the test set is looked at in every epoch; see docs/how-to/validation.md",
    )
    validation_seed: Seed = Field(
        default=0, description="seed of the choice of validation images, where they are a fraction of the training set"
    )
    train: Text | None = Field(
        default=None,
        description="csv, webdataset, huggingface, parquet: the training set below root, which is a file, several by "
        "wildcards or braces, or a split; null: by its usual name, see docs/reference/data-sets.md",
    )
    test: Text | None = Field(default=None, description="as for train: the test set")
    image_column: Text | None = Field(
        default=None,
        description="csv, huggingface, parquet: the column of images or their paths; webdataset: the ending of images; "
        "null: the usual one, or the only one",
    )
    label_column: Text | None = Field(
        default=None,
        description="csv, huggingface, parquet: the column of labels; webdataset: a field of JSON files, in place of "
        ".cls files; null: the usual one, or the only one",
    )
    classes: tuple[Text, ...] | None = Field(
        default=None,
        description="names of the classes in the order of their labels, which may be these names or numbers from 0; "
        "null: those of the data set, or else the labels themselves, sorted",
    )
    exif: bool = Field(
        default=False,
        description="images in files: turn each image as its EXIF orientation says; torchvision does not",
    )
    pixel_range: tuple[GreyValue, GreyValue] | None = Field(
        default=None,
        description="images in files: the values that are black and white in grey images of more than 8 bits; null: "
        "the range of their format, which 12 and 16 bits have; images of 32 bits or floats are refused without it",
    )
    max_pixels: Annotated[int, Field(ge=1, le=LARGEST_PICTURE), NOT_A_TRUTH_VALUE] = Field(
        default=LARGEST_PICTURE // 2,
        description="images in files: refuse larger ones before they are decoded, which takes 14 bytes a pixel",
    )
    on_the_fly: bool | None = Field(
        default=None,
        description="images in files: decode each image when it is needed, instead of all into memory; null: yes for "
        "tiny-imagenet and imagenet, no for the others",
    )
    workers: Annotated[int, Field(ge=0, le=512), NOT_A_TRUTH_VALUE] = Field(
        default=2,
        description="processes that decode images ahead, if on the fly; 0: the training process decodes them itself",
    )
    limit_per_class: Count | None = Field(
        default=None, description="use only this many training images of each class, the first ones; for trials"
    )
    test_limit_per_class: Count | None = Field(
        default=None, description="use only this many test images of each class, the first ones; for trials"
    )
    mean: tuple[PixelValue, ...] | None = Field(
        default=None,
        description="mean of each channel, for pixels scaled to 0..1; null: the data set's own. Set mean and std if "
        "the teacher was trained elsewhere, with others",
    )
    std: tuple[Deviation, ...] | None = Field(
        default=None, description="standard deviation of each channel, for pixels scaled to 0..1; null: as for mean"
    )

    @field_validator("pixel_range")
    @classmethod
    def _require_range(cls, values: tuple[float, float] | None) -> tuple[float, float] | None:
        if values is not None and values[1] - values[0] < 1e-9:  # so that the factor to bytes is finite
            raise ValueError(f"its first number must be smaller than its second, got {list(values)}")
        return values

    @field_validator("classes")
    @classmethod
    def _require_distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and len(set(names)) < max(len(names), 1):
            raise ValueError(f"it must name each class once, got {list(names)}")
        return names

    @model_validator(mode="after")
    def _require_takers(self) -> "DataConfig":
        require_no_arguments("arguments", self.name, self.arguments)
        for key, names in TAKEN_BY.items():
            value = getattr(self, key)
            if value is not None and (OWN if is_part_name(self.name) else self.name) not in names:
                found = list(value) if isinstance(value, tuple) else value
                raise ValueError(
                    f"{key} is {found}, and name is {self.name}, which has no use for it: it is for "
                    f"{', '.join(names)}. Leave {key} out, or set name to one of them"
                )
        if self.hub is not None and self.name != "huggingface":
            raise ValueError(
                f"hub is {self.hub}, a name on the Hugging Face hub, and name is {self.name}: set it to huggingface"
            )
        for key, value in (("subset", self.subset), ("revision", self.revision)):
            if value is not None and self.hub is None:
                raise ValueError(f"{key} is {value}, of what hub names, and hub is null. Set hub, or leave {key} out")
        return self

    @model_validator(mode="after")
    def _require_both_or_neither(self) -> "DataConfig":
        if len(self.mean or ()) != len(self.std or ()):
            raise ValueError(f"mean and std must have a number for each channel, got {self.mean} and {self.std}")
        return self
