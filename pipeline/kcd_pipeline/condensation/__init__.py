"""Knowledge condensation: OGVE values and ranks samples, VAKS keeps, drops and perturbs them.

It knows of no model and no training loop. From Knowledge Condensation Distillation (ECCV 2022).
"""

from kcd_pipeline import dask_settings  # noqa: F401  # isort: skip  # before dask itself
from kcd_pipeline.condensation.condense import condense
from kcd_pipeline.condensation.ogve import new_values, update_values
from kcd_pipeline.condensation.perturbation import BatchBlend, Perturbation
from kcd_pipeline.condensation.policies import WITH_WEIGHTS, Choice, Situation, make_policy
from kcd_pipeline.condensation.schedule import stage_of, stage_openings
from kcd_pipeline.condensation.taught import DeviceRows, ResidentRows, SentRows, TaughtRows, rows_for
from kcd_pipeline.condensation.values import Worth, make_worth, visits
from kcd_pipeline.condensation.weights import SampleWeights

__all__ = [
    "WITH_WEIGHTS",
    "BatchBlend",
    "Choice",
    "DeviceRows",
    "Perturbation",
    "ResidentRows",
    "SampleWeights",
    "SentRows",
    "Situation",
    "TaughtRows",
    "Worth",
    "condense",
    "make_policy",
    "make_worth",
    "new_values",
    "rows_for",
    "stage_of",
    "stage_openings",
    "update_values",
    "visits",
]
