"""Data sets from Python: that of a recipe, or one that a caller has."""

from kcd_pipeline.api.recipes import Overrides, RecipeLike
from kcd_pipeline.api.recipes import load_config as load
from kcd_pipeline.data import Dataset
from kcd_pipeline.data import load_dataset as load_by_config
from kcd_pipeline.teacher import with_teacher_images


def load_dataset(config: RecipeLike, *, overrides: Overrides = ()) -> Dataset:
    """Return the data set of a recipe: training and test images, class names and normalisation.

    Parameters
    ----------
    config
        A recipe: its name or path, a mapping of its keys, or a `Config`.
    overrides
        Changes of single keys.

    Raises
    ------
    UserError
        If recipe or data are wrong, or the data are not there.
    FailedError
        If they cannot be fetched.
    """
    return load_by_config(with_teacher_images(load(config, overrides)).data)
