"""Augmentations by the name that a recipe gives them."""

from kcd_pipeline.augmentation.crop_flip import CropFlip
from kcd_pipeline.augmentation.identity import Identity
from kcd_pipeline.augmentation.operations import OPERATIONS
from kcd_pipeline.augmentation.own import OwnAugmentation
from kcd_pipeline.augmentation.pipeline import Pipeline
from kcd_pipeline.augmentation.protocol import Augmentation
from kcd_pipeline.augmentation.resized_crop_flip import ResizedCropFlip
from kcd_pipeline.config import AugmentationConfig
from kcd_pipeline.own_parts import is_own_part


def build_augmentation(config: AugmentationConfig) -> Augmentation:
    """Return the augmentation that the section `augmentation` of a recipe describes.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded or made.
    """
    if is_own_part(config.name):
        return OwnAugmentation(config.name, seed=config.seed, arguments=config.arguments)
    if config.name == "none":
        return Identity()
    if config.name == "crop-flip":
        return CropFlip(seed=config.seed, padding=config.padding, padding_mode=config.padding_mode, flip=config.flip)
    if config.name == "pipeline":
        chosen = [operation.model_dump() for operation in config.operations]
        return Pipeline([OPERATIONS[keys.pop("name")](**keys) for keys in chosen], seed=config.seed)
    return ResizedCropFlip(seed=config.seed, scale=config.scale, ratio=config.ratio, flip=config.flip)
