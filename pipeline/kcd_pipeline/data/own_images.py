"""The image size and normalisation that data sets have by their name, if the recipe leaves them open."""

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.folders import FOLDER_SETS
from kcd_pipeline.data.load import PICTURE_KINDS
from kcd_pipeline.data.normalisation import FIELDS_OWN, Normalisation


def own_normalisation(name: str) -> Normalisation | None:
    """Return the normalisation of the data set `name`; None if it is measured."""
    return FOLDER_SETS[name].normalisation if name in FOLDER_SETS else FIELDS_OWN.get(name)


def own_image_size(name: str) -> int | None:
    """Return the pixels a side of the data set `name`; None if its images keep their size."""
    return FOLDER_SETS[name].size if name in FOLDER_SETS else None


def takes_image_size(data: DataConfig) -> bool:
    """Return True if the images are decoded from files, and so can be of any size."""
    return data.name in PICTURE_KINDS


def takes_normalisation(data: DataConfig) -> bool:
    """Return True if the images surely have three channels, as those have that models are published for."""
    return data.name in PICTURE_KINDS or data.name in FIELDS_OWN
