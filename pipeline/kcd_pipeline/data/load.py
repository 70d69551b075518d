"""Data sets by the name that a recipe gives them."""

from collections.abc import Callable

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import cifar, digits, fashion_mnist
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.folders import FOLDER_SETS, load_folders
from kcd_pipeline.data.normalisation import Normalisation, measure_normalisation
from kcd_pipeline.data.sources.csv_table import load_csv
from kcd_pipeline.data.sources.hugging_face import load_hugging_face
from kcd_pipeline.data.sources.own import load_own
from kcd_pipeline.data.sources.parquet import load_parquet
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.data.validation import hold_out
from kcd_pipeline.errors import UserError
from kcd_pipeline.own_parts import is_own_part

# data sets of encoded pictures, by `data.name`
PICTURE_KINDS: dict[str, Callable[[DataConfig], Dataset]] = {
    **dict.fromkeys(FOLDER_SETS, load_folders),
    "csv": load_csv,
    "huggingface": load_hugging_face,
    "parquet": load_parquet,
}


def load_dataset(config: DataConfig) -> Dataset:
    """Return the data set that the section `data` of a recipe names.

    Raises
    ------
    UserError
        If the data set is not in `data.root` (the message says how to get it), is damaged, its test images have another
        shape than its training images, or `data.mean` does not fit its channels.
    FailedError
        If it cannot be fetched.
    """
    load = load_own if is_own_part(config.name) else PICTURE_KINDS.get(config.name, _load_in_memory)
    dataset = load(config)
    _require_one_shape(config, dataset)
    if len(dataset.mean) != dataset.channels:
        raise UserError(
            f"data.mean and data.std have {len(dataset.mean)} numbers, but the images of {config.name} have "
            f"{dataset.channels} channels"
        )
    if isinstance(config.validation, float):
        return hold_out(dataset, config.validation, config.validation_seed)
    if config.validation is not None and dataset.validation is None:
        raise UserError(
            f"data.validation is '{config.validation}', but {config.name} has no folder or split of validation images. "
            f"Set it to the fraction of the training images that shall be held out, such as 0.1."
        )
    return dataset


def _load_in_memory(config: DataConfig) -> Dataset:
    train, test, classes = _read(config)
    mean, std = _normalisation(config, train)
    if config.limit_per_class is not None:
        train = train.first_per_class(config.limit_per_class)
    if config.test_limit_per_class is not None:
        test = test.first_per_class(config.test_limit_per_class)
    return Dataset(name=config.name, classes=classes, train=train, test=test, mean=mean, std=std)


def _read(config: DataConfig) -> tuple[InMemorySplit, InMemorySplit, tuple[str, ...]]:
    if config.name == "digits":
        return digits.load()
    if config.name == "fashion-mnist":
        return fashion_mnist.load(config.root, download=config.download)
    return cifar.load(config.name, config.root, download=config.download)


def _normalisation(config: DataConfig, train: InMemorySplit) -> Normalisation:
    """Return the recipe's normalisation, the field's, or else that of the whole training set.

    It is that of the whole also where only a part is used, so that a trial sees the pixels that the full run sees.
    """
    if config.mean and config.std:
        return config.mean, config.std
    return cifar.NORMALISATION.get(config.name) or measure_normalisation(train.images)


def _require_one_shape(config: DataConfig, dataset: Dataset) -> None:
    """Raise UserError if other images have another shape: many models would take them without a word."""
    train_shape = dataset.train.image_shape
    for split, images in (("test", dataset.test), ("validation", dataset.validation)):
        if images is not None and images.image_shape != train_shape:
            scaled = config.name in PICTURE_KINDS or is_own_part(config.name)
            advice = "Give one size with --set data.image_size=N" if scaled else "Fetch it again."
            raise UserError(
                f"{config.name} in {config.root}: training images are {train_shape} and {split} images "
                f"{images.image_shape} (channels, height, width). {advice}"
            )
