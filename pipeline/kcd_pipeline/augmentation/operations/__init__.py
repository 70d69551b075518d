"""The operations of a pipeline, by the names that a recipe gives them."""

from collections.abc import Callable, Mapping

from kcd_pipeline.augmentation.operations.auto import RandAugment, TrivialAugment
from kcd_pipeline.augmentation.operations.blur import GaussianBlur
from kcd_pipeline.augmentation.operations.colour import ColorJitter, Grayscale
from kcd_pipeline.augmentation.operations.crops import Crop, ResizedCrop
from kcd_pipeline.augmentation.operations.erasing import Erasing
from kcd_pipeline.augmentation.operations.flips import Flip, QuarterTurn
from kcd_pipeline.augmentation.operations.protocol import Operation

__all__ = ["OPERATIONS", "Operation", "ResizedCrop"]

# each takes the keys of its section in kcd_pipeline.config.operations
OPERATIONS: Mapping[str, Callable[..., Operation]] = {
    "crop": Crop,
    "resized-crop": ResizedCrop,
    "flip": Flip,
    "quarter-turn": QuarterTurn,
    "erasing": Erasing,
    "randaugment": RandAugment,
    "trivialaugment": TrivialAugment,
    "color-jitter": ColorJitter,
    "grayscale": Grayscale,
    "gaussian-blur": GaussianBlur,
}
