"""Checks and completes every data set once it is read: splits are compared, and validation images held out."""

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.validation import hold_out
from kcd_pipeline.errors import UserError


def complete(config: DataConfig, dataset: Dataset, *, can_be_scaled: bool) -> Dataset:
    """Return `dataset`, with the validation images that the section `data` of a recipe asks for.

    Parameters
    ----------
    can_be_scaled
        True if `data.image_size` gives the images one size.

    Raises
    ------
    UserError
        If the splits have images of different shapes, `data.mean` does not fit their channels, or there are no
        validation images where the recipe names some.
    """
    _require_one_shape(config, dataset, can_be_scaled=can_be_scaled)
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


def _require_one_shape(config: DataConfig, dataset: Dataset, *, can_be_scaled: bool) -> None:
    """Raise UserError if other images have another shape: many models would take them without a word."""
    train_shape = dataset.train.image_shape
    for split, images in (("test", dataset.test), ("validation", dataset.validation)):
        if images is not None and images.image_shape != train_shape:
            advice = "Give one size with --set data.image_size=N" if can_be_scaled else "Fetch it again."
            raise UserError(
                f"{config.name} in {config.root}: training images are {train_shape} and {split} images "
                f"{images.image_shape} (channels, height, width). {advice}"
            )
