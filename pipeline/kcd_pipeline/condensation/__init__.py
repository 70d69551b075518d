"""Knowledge condensation: OGVE values and ranks, VAKS keeps, drops and perturbs. Pure of models and loops."""

from kcd_pipeline.condensation.condense import condense
from kcd_pipeline.condensation.ogve import new_values, update_values
from kcd_pipeline.condensation.perturbation import BatchBlend, Perturbation
from kcd_pipeline.condensation.schedule import stage_count, stage_of
from kcd_pipeline.condensation.taught import ResidentRows, TaughtRows, make_resident

__all__ = [
    "BatchBlend",
    "Perturbation",
    "ResidentRows",
    "TaughtRows",
    "condense",
    "make_resident",
    "new_values",
    "stage_count",
    "stage_of",
    "update_values",
]
