"""Data sets of picture folders by the name that a recipe gives them: the user's own, Tiny-ImageNet, ImageNet."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torchvision.models import ResNet18_Weights

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.folders.in_memory import decode
from kcd_pipeline.data.folders.listing import Listing, list_splits
from kcd_pipeline.data.folders.on_disk import OnDiskSplit
from kcd_pipeline.data.folders.picture import Reading, used_range
from kcd_pipeline.data.folders.text import read_text
from kcd_pipeline.data.folders.unreadable import printable
from kcd_pipeline.data.normalisation import Normalisation, measure_normalisation
from kcd_pipeline.data.split import ImageSplit
from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say

WORDS = "words.txt"  # beside train/: class, tab, the name that people use (and synonyms after commas)
MEASURED = 1000  # pictures from which normalisation is measured on the fly, where all would have to be decoded for it
LOOKED_AT = 16  # pictures, for whether they use their range
DARK = 1 / 8


@dataclass(frozen=True, kw_only=True)
class FolderSet:
    """Facts about a data set that its name implies.

    Attributes
    ----------
    size
        Pixels a side of the images that models take; None: the recipe says, or pictures keep their size.
    margin
        The shorter side of a picture is scaled to `margin * size` before its middle is cut out.
    on_the_fly
        True if pictures are decoded when they are needed, unless the recipe says otherwise.
    test_folders
        Folders that may hold the test set. The `test` of the two ImageNets has no labels.
    """

    size: int | None
    margin: float
    normalisation: Normalisation | None
    on_the_fly: bool
    test_folders: tuple[str, ...] = ("val",)


FOLDER_SETS = {
    "imagefolder": FolderSet(size=None, margin=1, normalisation=None, on_the_fly=False, test_folders=("test", "val")),
    "tiny-imagenet": FolderSet(
        size=64, margin=1, normalisation=((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)), on_the_fly=True
    ),
    "imagenet": FolderSet(
        size=224, margin=256 / 224, normalisation=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), on_the_fly=True
    ),
}


def load_folders(config: DataConfig) -> Dataset:
    """Return the data set of picture folders that a recipe names.

    Raises
    ------
    UserError
        If a folder is missing, the splits have different classes, an image cannot be read, or a size is needed.
    """
    facts = FOLDER_SETS[config.name]
    test_folders = facts.test_folders if config.test_folder is None else (config.test_folder,)
    train, test = list_splits(config.root, test_folders)
    for listing in (train, test):
        if listing.skipped:
            say(f"{printable(listing.root)}: not taken as pictures: {listing.skipped}")
    _say_if_dark(_limited(train, config.limit_per_class), Reading.from_config(config))
    size = config.image_size or facts.size
    crop = None if size is None else CentreCrop(size=size, resize=round(size * facts.margin))
    known = (config.mean, config.std) if config.mean and config.std else facts.normalisation
    on_the_fly = facts.on_the_fly if config.on_the_fly is None else config.on_the_fly
    if on_the_fly:
        train_split, test_split, (mean, std) = _on_disk(config, train, test, crop, known)
    else:
        train_split, test_split, (mean, std) = _in_memory(config, train, test, crop, known)
    return Dataset(
        name=config.name,
        classes=train.classes,
        train=train_split,
        test=test_split,
        mean=mean,
        std=std,
        label_names=_label_names(config, train.classes),
        reading=Reading.from_config(config).describe(),
    )


def _on_disk(
    config: DataConfig, train: Listing, test: Listing, crop: CentreCrop | None, known: Normalisation | None
) -> tuple[ImageSplit, ImageSplit, Normalisation]:
    if crop is None:
        raise UserError(
            f"{config.name} in {config.root}: images that are decoded on the fly need one size, set data.image_size"
        )
    reading = Reading.from_config(config)
    whole = OnDiskSplit(listing=train, crop=crop, reading=reading, workers=config.workers)
    test_split = replace(whole, listing=test)
    return (
        _limited(whole, config.limit_per_class),
        _limited(test_split, config.test_limit_per_class),
        known or _measure_sample(whole),
    )


def _in_memory(
    config: DataConfig, train: Listing, test: Listing, crop: CentreCrop | None, known: Normalisation | None
) -> tuple[ImageSplit, ImageSplit, Normalisation]:
    reading = Reading.from_config(config)
    test = _limited(test, config.test_limit_per_class)
    if known is not None:
        return decode(_limited(train, config.limit_per_class), crop, reading), decode(test, crop, reading), known
    # also where a part is used, so that a trial sees the pixels that the full run sees
    whole = decode(train, crop, reading)
    return _limited(whole, config.limit_per_class), decode(test, crop, reading), measure_normalisation(whole.images)


def _say_if_dark(train: Listing, reading: Reading) -> None:
    """Say so if the grey pictures of 16 bits use so little of that range that they become nearly black."""
    if reading.pixel_range is not None:
        return
    samples = np.linspace(0, len(train) - 1, min(LOOKED_AT, len(train))).astype(int).tolist()
    used = [part for part in (used_range(train.path(sample), reading) for sample in samples) if part is not None]
    if used and max(used) < DARK:
        say(
            f"{printable(train.root)}: {len(used)} grey pictures of more than 8 bits were looked at, and the largest "
            f"value is {max(used):.1%} of what their format allows: they become nearly black. If their range is "
            f"smaller, set data.pixel_range to it, such as [0, 4095]."
        )


class _Limitable(Protocol):
    def first_per_class(self, count: int) -> Self: ...


_Part = TypeVar("_Part", bound=_Limitable)


def _limited(part: _Part, per_class: int | None) -> _Part:
    return part if per_class is None else part.first_per_class(per_class)


def _measure_sample(split: ImageSplit) -> Normalisation:
    """Measure the normalisation of MEASURED pictures, spread evenly over the split."""
    samples = np.linspace(0, len(split) - 1, min(MEASURED, len(split))).astype(int).tolist()
    return measure_normalisation(torch.stack([split.image(sample) for sample in samples]))


def _label_names(config: DataConfig, classes: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names in words.txt beside train/, or torchvision's, which has ImageNet's 1,000 in their order."""
    words = config.root / WORDS
    if words.is_file():
        return _read_words(words, classes)
    imagenet = ResNet18_Weights.DEFAULT.meta["categories"]
    return tuple(imagenet) if config.name == "imagenet" and len(classes) == len(imagenet) else None


def _read_words(words: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    lines = (line.split("\t", 1) for line in read_text(words).splitlines() if "\t" in line)
    names = {key: text.split(",")[0].strip() for key, text in lines}
    return tuple(names.get(name, name) for name in classes)
