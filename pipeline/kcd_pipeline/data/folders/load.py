"""Data sets that are folders of pictures: any of one's own, Tiny-ImageNet, ImageNet; in memory or on the fly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torchvision.models import ResNet18_Weights

from kcd_pipeline.augmentation import Frame
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset, ImageSplit, measured_normalisation
from kcd_pipeline.data.folders import in_memory as imagefolder
from kcd_pipeline.data.folders.listing import ANNOTATIONS, Listing, list_annotated, list_folder
from kcd_pipeline.data.folders.on_disk import PictureSplit
from kcd_pipeline.errors import UserError

WORDS = "words.txt"  # beside train/: class, tab, what people call it (and synonyms after commas)
MEASURED = 1000  # pictures from which normalisation is taken where all would have to be decoded for it


Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each channel


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is known of a data set by its name: size of its images and where they are cut from, normalisation."""

    size: int | None
    margin: float  # the shorter side is scaled to margin * size
    normalisation: Normalisation | None
    on_the_fly: bool
    tests: tuple[str, ...] = ("val",)  # where the test set is; a `test` of the two ImageNets has no labels


KINDS = {
    "imagefolder": Kind(size=None, margin=1, normalisation=None, on_the_fly=False, tests=("test", "val")),
    "tiny-imagenet": Kind(
        size=64, margin=1, normalisation=((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)), on_the_fly=True
    ),
    "imagenet": Kind(
        size=224, margin=256 / 224, normalisation=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), on_the_fly=True
    ),
}


def load(config: DataConfig) -> Dataset:
    """The folder that a recipe names.

    Raises
    ------
    UserError
        If a folder is missing, the classes of the splits differ, an image cannot be read, or a size is needed.
    """
    kind = KINDS[config.name]
    train, test = _listings(config.root, kind.tests)
    size = config.image_size or kind.size
    frame = None if size is None else Frame(size=size, resize=round(size * kind.margin))
    fly = kind.on_the_fly if config.on_the_fly is None else config.on_the_fly
    known = (config.mean, config.std) if config.mean and config.std else kind.normalisation
    splits: list[ImageSplit]
    if fly and frame is None:
        raise UserError(
            f"{config.name} in {config.root}: images that are decoded on the fly need one size, set data.image_size"
        )
    if fly and frame is not None:
        splits = [PictureSplit(listing=part, frame=frame, workers=config.workers) for part in (train, test)]
        mean, std = known or _measured(splits[0])
        splits = [_limited(splits[0], config.limit_per_class), _limited(splits[1], config.test_limit_per_class)]
    elif known:
        mean, std = known
        parts = (_limited(train, config.limit_per_class), _limited(test, config.test_limit_per_class))
        splits = [imagefolder.decoded(part, frame) for part in parts]
    else:
        whole = imagefolder.decoded(train, frame)
        mean, std = measured_normalisation(whole.images)
        tested = imagefolder.decoded(_limited(test, config.test_limit_per_class), frame)
        splits = [_limited(whole, config.limit_per_class), tested]
    return Dataset(
        name=config.name,
        classes=train.classes,
        train=splits[0],
        test=splits[1],
        mean=mean,
        std=std,
        label_names=_label_names(config, train.classes),
    )


class _Limitable(Protocol):
    def limited(self, per_class: int) -> Self: ...


_Part = TypeVar("_Part", bound=_Limitable)


def _limited(part: _Part, per_class: int | None) -> _Part:
    return part if per_class is None else part.limited(per_class)


def _listings(root: Path, tests: tuple[str, ...]) -> tuple[Listing, Listing]:
    test_root = next((root / name for name in tests if _holds_something(root / name)), None)
    if not (root / "train").is_dir() or test_root is None:
        raise UserError(
            f"{root.resolve()} is not an image folder: expected train/<class>/*.png (or jpg, ...) and the same below "
            f"{'/ or '.join(tests)}/. Set data.root to the folder that holds both."
        )
    train = list_folder(root / "train")
    if (test_root / ANNOTATIONS).is_file():
        return train, list_annotated(test_root, train.classes)
    if not any(entry.is_dir() for entry in test_root.iterdir()):
        raise UserError(
            f"{test_root} holds files and no folders of classes: sort its images into {test_root.name}/<class>/, as "
            f"train/ has them."
        )
    test = list_folder(test_root)
    if train.classes != test.classes:
        only = sorted(set(train.classes) ^ set(test.classes))
        raise UserError(
            f"{root}: train and {test_root.name} must hold the same classes; only in one: {', '.join(only)}"
        )
    return train, test


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _measured(split: ImageSplit) -> Normalisation:
    """Normalisation from MEASURED pictures spread evenly over a split."""
    samples = np.linspace(0, len(split) - 1, min(MEASURED, len(split))).astype(int).tolist()
    return measured_normalisation(torch.stack([split.image(sample) for sample in samples]))


def _label_names(config: DataConfig, classes: tuple[str, ...]) -> tuple[str, ...] | None:
    """From words.txt beside train/; for ImageNet's 1,000 classes from torchvision, which has them in their order."""
    words = config.root / WORDS
    if words.is_file():
        lines = (line.split("\t", 1) for line in words.read_text(encoding="utf-8").splitlines() if "\t" in line)
        names = {key: text.split(",")[0].strip() for key, text in lines}
        return tuple(names.get(name, name) for name in classes)
    known = ResNet18_Weights.DEFAULT.meta["categories"]
    return tuple(known) if config.name == "imagenet" and len(classes) == len(known) else None
