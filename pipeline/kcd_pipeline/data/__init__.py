"""Data sets, in memory; one entry point, `load_dataset`."""

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import cifar, digits, idx, imagefolder
from kcd_pipeline.data.dataset import Dataset, Split, measured_normalisation
from kcd_pipeline.errors import UserError

__all__ = ["Dataset", "Split", "load_dataset"]


def load_dataset(config: DataConfig) -> Dataset:
    """The data set that a recipe names.

    Raises
    ------
    UserError
        If it is not where it should be; the message says how to get it.
    """
    if config.name == "digits":
        train, test, classes = digits.load()
    elif config.name == "fashion-mnist":
        train, test, classes = idx.load(config.root, download=config.download)
    elif config.name == "imagefolder":
        train, test, classes = imagefolder.load(config.root, image_size=config.image_size)
    else:
        train, test, classes = cifar.load(config.name, config.root, download=config.download)
    _require_one_shape(config, train, test)
    # of the whole training set, also when only a part of it is used: a trial sees what the full run sees
    mean, std = cifar.NORMALISATION.get(config.name) or measured_normalisation(train.images)
    if config.limit_per_class is not None:
        train = train.limited(config.limit_per_class)
    return Dataset(name=config.name, classes=classes, train=train, test=test, mean=mean, std=std)


def _require_one_shape(config: DataConfig, train: Split, test: Split) -> None:
    """Refuse a test set of images of another shape: models would take it silently, and be measured on it."""
    train_shape, test_shape = list(train.images.shape[1:]), list(test.images.shape[1:])
    if train_shape != test_shape:
        mend = "Give one size with --set data.image_size=N" if config.name == "imagefolder" else "Fetch it again."
        raise UserError(
            f"{config.name} in {config.root}: training images are {train_shape} and test images {test_shape} "
            f"(channels, height, width). {mend}"
        )
