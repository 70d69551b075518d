"""Data sets by the name that a recipe gives them."""

from collections.abc import Callable

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import digits
from kcd_pipeline.data.completion import complete
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.folders import FOLDER_SETS, load_folders
from kcd_pipeline.data.normalisation import FIELDS_OWN, Normalisation, measure_normalisation
from kcd_pipeline.data.sources.csv_table import load_csv
from kcd_pipeline.data.sources.hugging_face import load_hugging_face
from kcd_pipeline.data.sources.own import load_own
from kcd_pipeline.data.sources.parquet import load_parquet
from kcd_pipeline.data.sources.shards import load_shards
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.own_parts import is_own_part

# data sets of encoded pictures, by `data.name`
PICTURE_KINDS: dict[str, Callable[[DataConfig], Dataset]] = {
    **dict.fromkeys(FOLDER_SETS, load_folders),
    "csv": load_csv,
    "webdataset": load_shards,
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
    if is_own_part(config.name):
        return load_own(config)
    dataset = PICTURE_KINDS.get(config.name, _load_in_memory)(config)
    return complete(config, dataset, can_be_scaled=config.name in PICTURE_KINDS)


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
    from kcd_pipeline.data import cifar, fashion_mnist  # they load torchvision, which takes a second

    if config.name == "fashion-mnist":
        return fashion_mnist.load(config.root, download=config.download)
    return cifar.load(config.name, config.root, download=config.download)


def _normalisation(config: DataConfig, train: InMemorySplit) -> Normalisation:
    """Return the recipe's normalisation, the field's, or else that of the whole training set.

    It is that of the whole also where only a part is used, so that a trial sees the pixels that the full run sees.
    """
    if config.mean and config.std:
        return config.mean, config.std
    return FIELDS_OWN.get(config.name) or measure_normalisation(train.images)
