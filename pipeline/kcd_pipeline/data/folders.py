"""Data sets that are folders of pictures: any of one's own, Tiny-ImageNet, ImageNet; in memory or on the fly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.models import ResNet18_Weights

from kcd_pipeline.augmentation import Frame
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import imagefolder
from kcd_pipeline.data.dataset import Dataset, ImageSplit, measured_normalisation
from kcd_pipeline.data.listing import ANNOTATIONS, Listing, list_annotated, list_folder
from kcd_pipeline.data.pictures import PictureSplit
from kcd_pipeline.errors import UserError

TEST_NAMES = ("test", "val")
WORDS = "words.txt"  # beside train/: class, tab, what people call it (and synonyms after commas)
MEASURED = 1000  # pictures from which normalisation is taken where all would have to be decoded for it


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is known of a data set by its name: size of its images and where they are cut from, normalisation."""

    size: int | None
    margin: float  # the shorter side is scaled to margin * size
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    on_the_fly: bool


KINDS = {
    "imagefolder": Kind(size=None, margin=1, mean=None, std=None, on_the_fly=False),
    "tiny-imagenet": Kind(
        size=64, margin=1, mean=(0.4802, 0.4481, 0.3975), std=(0.2770, 0.2691, 0.2821), on_the_fly=True
    ),
    "imagenet": Kind(
        size=224, margin=256 / 224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), on_the_fly=True
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
    train, test = _listings(config.root)
    size = config.image_size or kind.size
    fly = kind.on_the_fly if config.on_the_fly is None else config.on_the_fly
    if fly and size is None:
        raise UserError(
            f"{config.name} in {config.root}: images that are decoded on the fly need one size, set data.image_size"
        )
    frame = None if size is None else Frame(size=size, resize=round(size * kind.margin))
    mean, std = (config.mean, config.std) if config.mean and config.std else (kind.mean, kind.std)
    chosen = [
        listing if limit is None else listing.limited(limit)
        for listing, limit in ((train, config.limit_per_class), (test, config.test_limit_per_class))
    ]
    if fly and frame is not None:
        splits: list[ImageSplit] = [PictureSplit(listing=part, frame=frame, workers=config.workers) for part in chosen]
        if mean is None or std is None:
            mean, std = _measured(PictureSplit(listing=train, frame=frame, workers=0))
    elif mean is None or std is None:
        whole = imagefolder.decoded(train, frame)
        mean, std = measured_normalisation(whole.images)
        splits = [
            whole if config.limit_per_class is None else whole.limited(config.limit_per_class),
            imagefolder.decoded(chosen[1], frame),
        ]
    else:
        splits = [imagefolder.decoded(part, frame) for part in chosen]
    return Dataset(
        name=config.name,
        classes=train.classes,
        train=splits[0],
        test=splits[1],
        mean=mean,
        std=std,
        label_names=_label_names(config, train.classes),
    )


def _listings(root: Path) -> tuple[Listing, Listing]:
    test_root = next((root / name for name in TEST_NAMES if _holds_something(root / name)), None)
    if not (root / "train").is_dir() or test_root is None:
        raise UserError(
            f"{root.resolve()} is not an image folder: expected train/<class>/*.png (or jpg, ...) and the same below "
            f"test/ or val/. Set data.root to the folder that holds both."
        )
    train = list_folder(root / "train")
    annotated = next((root / name for name in TEST_NAMES if (root / name / ANNOTATIONS).is_file()), None)
    if annotated is not None:
        return train, list_annotated(annotated, train.classes)
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


def _measured(split: PictureSplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
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
