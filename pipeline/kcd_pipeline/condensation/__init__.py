"""Knowledge condensation: OGVE values and ranks, VAKS keeps, drops and perturbs. Pure of models and loops."""

from kcd_pipeline.condensation.condense import condense
from kcd_pipeline.condensation.ogve import new_values, update_values
from kcd_pipeline.condensation.perturbation import Blended, Perturbation
from kcd_pipeline.condensation.schedule import stage_count, stage_of
from kcd_pipeline.condensation.taught import ResidentRows, TaughtRows, resident

__all__ = [
    "Blended",
    "Perturbation",
    "ResidentRows",
    "TaughtRows",
    "condense",
    "new_values",
    "resident",
    "stage_count",
    "stage_of",
    "update_values",
]
