"""Recipes: their keys, and how they are found, extended, overridden and validated."""

from kcd_pipeline.config.augmentation import AugmentationConfig
from kcd_pipeline.config.condense import POLICY_NAMES, VALUE_NAMES, CondenseConfig
from kcd_pipeline.config.data import DATA_NAMES, DataConfig
from kcd_pipeline.config.earlier import in_todays_words
from kcd_pipeline.config.load import Recipe, load_config, parse_config
from kcd_pipeline.config.losses import DistLossConfig, DkdLossConfig, KdLossConfig, OwnLossConfig, PktLossConfig
from kcd_pipeline.config.merge import as_override, only_teacher, override_of
from kcd_pipeline.config.models import OptimisationConfig, OtherTeacherConfig, StudentConfig, TeacherConfig
from kcd_pipeline.config.recipes import find_recipe, is_study, recipe_names, recipes_folder, study_names
from kcd_pipeline.config.schema import (
    ENCODING_NAMES,
    METHODS,
    Config,
    DistillConfig,
    MetricConfig,
    RunConfig,
    StoreConfig,
)
from kcd_pipeline.config.section import ClassMap
from kcd_pipeline.config.study import Study, StudyConfig, load_study
from kcd_pipeline.config.suggestions import did_you_mean
from kcd_pipeline.config.value_words import ValueWords, value_words
from kcd_pipeline.config.variants import MOVABLE_KEYS, fixed_of_teachers, variant_words
from kcd_pipeline.config.yaml_files import read_yaml, write_yaml

__all__ = [
    "DATA_NAMES",
    "ENCODING_NAMES",
    "METHODS",
    "MOVABLE_KEYS",
    "POLICY_NAMES",
    "VALUE_NAMES",
    "AugmentationConfig",
    "ClassMap",
    "CondenseConfig",
    "Config",
    "DataConfig",
    "DistLossConfig",
    "DistillConfig",
    "DkdLossConfig",
    "KdLossConfig",
    "MetricConfig",
    "OptimisationConfig",
    "OtherTeacherConfig",
    "OwnLossConfig",
    "PktLossConfig",
    "Recipe",
    "RunConfig",
    "StoreConfig",
    "StudentConfig",
    "Study",
    "StudyConfig",
    "TeacherConfig",
    "ValueWords",
    "as_override",
    "did_you_mean",
    "find_recipe",
    "fixed_of_teachers",
    "in_todays_words",
    "is_study",
    "load_config",
    "load_study",
    "only_teacher",
    "override_of",
    "parse_config",
    "read_yaml",
    "recipe_names",
    "recipes_folder",
    "study_names",
    "value_words",
    "variant_words",
    "write_yaml",
]
