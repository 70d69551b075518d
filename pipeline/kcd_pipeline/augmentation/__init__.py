"""Replayable augmentation: view v of sample i is a pure function of (seed, i, v), and of nothing else."""

from kcd_pipeline.augmentation.build import build_augmentation
from kcd_pipeline.augmentation.centre_crop import CentreCrop, pixels_of
from kcd_pipeline.augmentation.identity import Identity
from kcd_pipeline.augmentation.labels import Labels
from kcd_pipeline.augmentation.mixing import Mixing, build_mixing
from kcd_pipeline.augmentation.protocol import Augmentation, ViewSource
from kcd_pipeline.augmentation.subset import SubsetAugmentation
from kcd_pipeline.augmentation.views import InMemoryViews, Normaliser

__all__ = [
    "Augmentation",
    "CentreCrop",
    "Identity",
    "InMemoryViews",
    "Labels",
    "Mixing",
    "Normaliser",
    "SubsetAugmentation",
    "ViewSource",
    "build_augmentation",
    "build_mixing",
    "pixels_of",
]
