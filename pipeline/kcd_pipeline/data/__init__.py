"""Data sets; one entry point, `load_dataset`."""

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import cifar, digits, idx
from kcd_pipeline.data.dataset import Dataset, ImageSplit, Split, measured_normalisation
from kcd_pipeline.data.folders import load as folders
from kcd_pipeline.errors import UserError

__all__ = ["Dataset", "ImageSplit", "Split", "load_dataset"]


def load_dataset(config: DataConfig) -> Dataset:
    """The data set that a recipe names.

    Raises
    ------
    UserError
        If it is not where it should be; the message says how to get it.
    """
    dataset = folders.load(config) if config.name in folders.KINDS else _in_memory(config)
    _require_one_shape(config, dataset)
    if len(dataset.mean) != dataset.channels:
        raise UserError(
            f"data.mean and data.std have {len(dataset.mean)} numbers, but the images of {config.name} have "
            f"{dataset.channels} channels"
        )
    return dataset


def _in_memory(config: DataConfig) -> Dataset:
    if config.name == "digits":
        train, test, classes = digits.load()
    elif config.name == "fashion-mnist":
        train, test, classes = idx.load(config.root, download=config.download)
    else:
        train, test, classes = cifar.load(config.name, config.root, download=config.download)
    if config.mean and config.std:
        mean, std = config.mean, config.std
    else:
        # of the whole training set, also when only a part of it is used: a trial sees what the full run sees
        mean, std = cifar.NORMALISATION.get(config.name) or measured_normalisation(train.images)
    if config.limit_per_class is not None:
        train = train.limited(config.limit_per_class)
    if config.test_limit_per_class is not None:
        test = test.limited(config.test_limit_per_class)
    return Dataset(name=config.name, classes=classes, train=train, test=test, mean=mean, std=std)


def _require_one_shape(config: DataConfig, dataset: Dataset) -> None:
    """Refuse a test set of images of another shape: models would take it silently, and be measured on it."""
    train_shape, test_shape = dataset.train.image_shape, dataset.test.image_shape
    if train_shape != test_shape:
        mend = "Give one size with --set data.image_size=N" if config.name in folders.KINDS else "Fetch it again."
        raise UserError(
            f"{config.name} in {config.root}: training images are {train_shape} and test images {test_shape} "
            f"(channels, height, width). {mend}"
        )
