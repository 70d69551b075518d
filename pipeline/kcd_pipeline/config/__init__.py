"""Recipes: their keys, and how they are found, extended, overridden and validated."""

from kcd_pipeline.config.load import load_config, parse_config
from kcd_pipeline.config.losses import DistLossConfig, DkdLossConfig, KdLossConfig, PktLossConfig
from kcd_pipeline.config.recipes import find_recipe, recipe_names, recipes_folder
from kcd_pipeline.config.schema import (
    ENCODING_NAMES,
    METHODS,
    AugmentationConfig,
    CondenseConfig,
    Config,
    DataConfig,
    DistillConfig,
    OptimisationConfig,
    RunConfig,
    StoreConfig,
    StudentConfig,
    TeacherConfig,
)
from kcd_pipeline.config.suggestions import did_you_mean
from kcd_pipeline.config.variants import variant_words

__all__ = [
    "ENCODING_NAMES",
    "METHODS",
    "AugmentationConfig",
    "CondenseConfig",
    "Config",
    "DataConfig",
    "DistLossConfig",
    "DistillConfig",
    "DkdLossConfig",
    "KdLossConfig",
    "OptimisationConfig",
    "PktLossConfig",
    "RunConfig",
    "StoreConfig",
    "StudentConfig",
    "TeacherConfig",
    "did_you_mean",
    "find_recipe",
    "load_config",
    "parse_config",
    "recipe_names",
    "recipes_folder",
    "variant_words",
]
