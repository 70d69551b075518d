"""Models: built by name, filled with weights from files, their penultimate features and their cost.

`external`, `recognition` and `counting` are not imported here: they load libraries that few commands need.
"""

from kcd_pipeline.models.build import EXTERNAL_FORMS, build_model, model_for
from kcd_pipeline.models.feature_tap import FeatureTap
from kcd_pipeline.models.fitting import fill_model
from kcd_pipeline.models.weights import Weights, load_weights, parameter_count, save_weights, weights_hash
from kcd_pipeline.models.zoo import zoo_names

__all__ = [
    "EXTERNAL_FORMS",
    "FeatureTap",
    "Weights",
    "build_model",
    "fill_model",
    "load_weights",
    "model_for",
    "parameter_count",
    "save_weights",
    "weights_hash",
    "zoo_names",
]
