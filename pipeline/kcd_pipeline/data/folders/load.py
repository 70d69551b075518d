"""Data sets of picture folders by the name that a recipe gives them: the user's own, Tiny-ImageNet, ImageNet."""

from dataclasses import dataclass
from pathlib import Path

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.folders.listing import list_splits, list_validation
from kcd_pipeline.data.pictures import PictureFacts, PictureSplits, load_pictures
from kcd_pipeline.data.pictures.text import read_text
from kcd_pipeline.progress import say

WORDS = "words.txt"  # beside train/: class, tab, the name that people use (and synonyms after commas)


@dataclass(frozen=True, kw_only=True)
class FolderFacts(PictureFacts):
    """Facts about a data set of folders that its name implies.

    Attributes
    ----------
    test_folders
        Folders that may hold the test set. The `test` of the two ImageNets has no labels.
    """

    test_folders: tuple[str, ...] = ("val",)


FOLDER_SETS = {
    "imagefolder": FolderFacts(test_folders=("test", "val")),
    "tiny-imagenet": FolderFacts(
        size=64, normalisation=((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)), on_the_fly=True
    ),
    "imagenet": FolderFacts(
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
    validation = None
    if isinstance(config.validation, str):
        validation = list_validation(config.root / config.validation, train, test)
    for listing in (train, test, validation):
        if listing is not None and listing.skipped:
            say(f"{listing.place}: not taken as pictures: {listing.skipped}")
    label_names = _label_names(config, train.classes)
    splits = PictureSplits(
        train=train, test=test, classes=train.classes, label_names=label_names, validation=validation
    )
    return load_pictures(config, splits, facts)


def _label_names(config: DataConfig, classes: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names in words.txt beside train/, or torchvision's, which has ImageNet's 1,000 in their order."""
    words = config.root / WORDS
    if words.is_file():
        return _read_words(words, classes)
    if config.name != "imagenet":
        return None
    from torchvision.models import ResNet18_Weights  # a second to load

    imagenet = ResNet18_Weights.DEFAULT.meta["categories"]
    return tuple(imagenet) if len(classes) == len(imagenet) else None


def _read_words(words: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    lines = (line.split("\t", 1) for line in read_text(words).splitlines() if "\t" in line)
    names = {key: text.split(",")[0].strip() for key, text in lines}
    return tuple(names.get(name, name) for name in classes)
