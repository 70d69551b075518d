"""Recipes: what can be said in them, and how they are found, overridden and checked."""

from kcd_pipeline.config.load import find_recipe, load_config, nearest, parse_config, recipe_names
from kcd_pipeline.config.schema import (
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

__all__ = [
    "AugmentationConfig",
    "CondenseConfig",
    "Config",
    "DataConfig",
    "DistillConfig",
    "OptimisationConfig",
    "RunConfig",
    "StoreConfig",
    "StudentConfig",
    "TeacherConfig",
    "find_recipe",
    "load_config",
    "nearest",
    "parse_config",
    "recipe_names",
]
