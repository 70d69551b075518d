"""Names by which a recipe calls the files of the training, the test and the validation set."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.errors import UserError

SPLIT_KEYS = ("data.train", "data.test", "data.validation")


def split_names(config: DataConfig, train: str, test: str) -> dict[str, str]:
    """Return the names of the splits that the recipe has, by their keys; `train` and `test` where it says nothing.

    There are validation images here if the recipe names them. A fraction is held out of the training set later.
    """
    validation = [config.validation] if isinstance(config.validation, str) else []
    names = [config.train or train, config.test or test, *validation]
    return dict(zip(SPLIT_KEYS, names, strict=False))


def require_apart(files: Mapping[str, Sequence[Path]]) -> None:
    """Raise UserError if two splits, each by the key that names it, have a file in common."""
    for (one, of_one), (other, of_other) in combinations(files.items(), 2):
        both = {file.resolve() for file in of_one} & {file.resolve() for file in of_other}
        if both:
            raise UserError(
                f"{printable(min(both))} is named by both {one} and {other}. Name files of other images as {other}: "
                f"accuracy on images that something else was chosen by, or trained on, says little."
            )
