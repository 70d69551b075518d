"""Augmentations by the name that a recipe gives them."""

from kcd_pipeline.augmentation.crop_flip import CropFlip
from kcd_pipeline.augmentation.identity import Identity
from kcd_pipeline.augmentation.protocol import Augmentation
from kcd_pipeline.augmentation.resized_crop_flip import ResizedCropFlip
from kcd_pipeline.config import AugmentationConfig


def build_augmentation(config: AugmentationConfig) -> Augmentation:
    """Return the augmentation that the section `augmentation` of a recipe describes."""
    if config.name == "none":
        return Identity()
    if config.name == "crop-flip":
        return CropFlip(seed=config.seed, padding=config.padding, padding_mode=config.padding_mode, flip=config.flip)
    return ResizedCropFlip(seed=config.seed, scale=config.scale, ratio=config.ratio, flip=config.flip)
