"""A data set of pictures, from the sources of its splits: cropped to one size, in memory or on disk, and normalised."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

import numpy as np
import torch

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.normalisation import Normalisation, measure_normalisation
from kcd_pipeline.data.pictures.in_memory import decode
from kcd_pipeline.data.pictures.normalisation_cache import (
    keep_normalisation,
    kept_normalisation,
    normalisation_file,
)
from kcd_pipeline.data.pictures.on_disk import OnDiskSplit
from kcd_pipeline.data.pictures.picture import Reading, used_range
from kcd_pipeline.data.pictures.source import PictureSource
from kcd_pipeline.data.split import ImageSplit, first_of_each_label
from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say

MEASURED = 1000  # pictures from which normalisation is measured on the fly, where all would have to be decoded for it
LOOKED_AT = 16  # pictures, for whether they use their range
DARK = 1 / 8


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """Facts about a data set that its name implies.

    Attributes
    ----------
    size
        Pixels a side of the images that models take; None: the recipe says, or pictures keep their size.
    margin
        The shorter side of a picture is scaled to `margin * size` before its middle is cut out.
    on_the_fly
        True if pictures are decoded when they are needed, unless the recipe says otherwise.
    """

    size: int | None = None
    margin: float = 1
    normalisation: Normalisation | None = None
    on_the_fly: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureSplits:
    """Encoded pictures of a data set: its training and its test set, and the classes that their labels stand for.

    Attributes
    ----------
    label_names
        Names that people use for the classes, if `classes` holds ids.
    validation
        Validation pictures that lie apart from the others, if the recipe names some.
    """

    train: PictureSource
    test: PictureSource
    classes: tuple[str, ...]
    label_names: tuple[str, ...] | None = None
    validation: PictureSource | None = None

    @classmethod
    def of(cls, sources: Sequence[PictureSource], classes: tuple[str, ...]) -> Self:
        """Return the splits in `sources`: training set, test set, and validation set if there is one."""
        train, test, *others = sources
        return cls(train=train, test=test, classes=classes, validation=others[0] if others else None)


def load_pictures(config: DataConfig, splits: PictureSplits, facts: PictureFacts | None = None) -> Dataset:
    """Return the data set of the pictures in `splits`, read as the section `data` of a recipe says.

    Raises
    ------
    UserError
        If a picture cannot be read, or a size is needed.
    """
    facts = facts or PictureFacts()
    _say_if_dark(_limited(splits.train, config.limit_per_class), Reading.from_config(config))
    size = config.image_size or facts.size
    crop = None if size is None else CentreCrop(size=size, resize=round(size * facts.margin))
    known = (config.mean, config.std) if config.mean and config.std else facts.normalisation
    on_the_fly = facts.on_the_fly if config.on_the_fly is None else config.on_the_fly
    read = _on_disk if on_the_fly else _in_memory
    train, test, (mean, std) = read(config, splits, crop, known)
    return Dataset(
        name=config.name,
        classes=splits.classes,
        train=train,
        test=test,
        mean=mean,
        std=std,
        label_names=splits.label_names,
        reading=Reading.from_config(config).describe(),
        validation=None if splits.validation is None else _read_like(train, splits.validation, crop, config),
        crop=crop,
    )


def _read_like(train: ImageSplit, validation: PictureSource, crop: CentreCrop | None, config: DataConfig) -> ImageSplit:
    """Return the validation pictures on disk if the training pictures are, else in memory."""
    if isinstance(train, OnDiskSplit):
        return replace(train, source=validation)
    return decode(validation, crop, Reading.from_config(config))


def _on_disk(
    config: DataConfig, splits: PictureSplits, crop: CentreCrop | None, known: Normalisation | None
) -> tuple[ImageSplit, ImageSplit, Normalisation]:
    if crop is None:
        raise UserError(
            f"{config.name} in {config.root}: images that are decoded on the fly need one size, set data.image_size"
        )
    reading = Reading.from_config(config)
    whole = OnDiskSplit(source=splits.train, crop=crop, reading=reading, workers=config.workers)
    test = replace(whole, source=_limited(splits.test, config.test_limit_per_class))
    train = replace(whole, source=_limited(splits.train, config.limit_per_class))
    if known is None:
        file = normalisation_file(splits.train, crop, reading, pictures=MEASURED)
        known = kept_normalisation(file) or keep_normalisation(file, _measure_sample(whole))
    return train, test, known


def _in_memory(
    config: DataConfig, splits: PictureSplits, crop: CentreCrop | None, known: Normalisation | None
) -> tuple[ImageSplit, ImageSplit, Normalisation]:
    reading = Reading.from_config(config)
    test = _limited(splits.test, config.test_limit_per_class)
    file = None
    if known is None:
        file = normalisation_file(splits.train, crop, reading, pictures=len(splits.train))
        known = kept_normalisation(file)
    if known is not None:
        train = _limited(splits.train, config.limit_per_class)
        return decode(train, crop, reading), decode(test, crop, reading), known
    # also where a part is used, so that a trial sees the pixels that the full run sees
    whole = decode(splits.train, crop, reading)
    measured = keep_normalisation(file, measure_normalisation(whole.images))
    return _limited(whole, config.limit_per_class), decode(test, crop, reading), measured


def _say_if_dark(train: PictureSource, reading: Reading) -> None:
    """Say so if the grey pictures of 16 bits use so little of that range that they become nearly black."""
    if reading.pixel_range is not None:
        return
    samples = np.linspace(0, len(train) - 1, min(LOOKED_AT, len(train))).astype(int).tolist()
    ranges = (used_range(train.open(sample), reading, name=train.name(sample)) for sample in samples)
    used = [part for part in ranges if part is not None]
    if used and max(used) < DARK:
        say(
            f"{train.place}: {len(used)} grey pictures of more than 8 bits were looked at, and the largest value is "
            f"{max(used):.1%} of what their format allows: they become nearly black. If their range is smaller, set "
            f"data.pixel_range to it, such as [0, 4095]."
        )


class _Splittable(Protocol):
    @property
    def labels(self) -> object: ...

    def subset(self, samples: np.ndarray) -> Self: ...


_Part = TypeVar("_Part", bound=_Splittable)


def _limited(part: _Part, per_class: int | None) -> _Part:
    """Return the first `per_class` pictures of each class, in the same order; all of them if it is None."""
    return part if per_class is None else part.subset(first_of_each_label(np.asarray(part.labels), per_class))


def _measure_sample(split: ImageSplit) -> Normalisation:
    """Measure the normalisation of MEASURED pictures, spread evenly over the split."""
    samples = np.linspace(0, len(split) - 1, min(MEASURED, len(split))).astype(int).tolist()
    return measure_normalisation(torch.stack([split.image(sample) for sample in samples]))
