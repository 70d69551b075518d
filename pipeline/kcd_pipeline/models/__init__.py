"""Models: built by name, filled with weights from files, their penultimate features and their cost.

`external`, `recognition` and `counting` are not imported here: they load libraries that few commands need.
"""

from kcd_pipeline.models.build import EXTERNAL_FORMS, build_model, model_for
from kcd_pipeline.models.feature_tap import FeatureTap
from kcd_pipeline.models.fitting import fill_model
from kcd_pipeline.models.passed import NONE_PASSED, PassedModels, copy_of_passed, recorded_model
from kcd_pipeline.models.weights import Weights, load_weights, parameter_count, save_weights, weights_hash
from kcd_pipeline.models.zoo import zoo_names

__all__ = [
    "EXTERNAL_FORMS",
    "NONE_PASSED",
    "FeatureTap",
    "PassedModels",
    "Weights",
    "build_model",
    "copy_of_passed",
    "fill_model",
    "load_weights",
    "model_for",
    "parameter_count",
    "recorded_model",
    "save_weights",
    "weights_hash",
    "zoo_names",
]
