"""Values: what the knowledge of a sample is worth to the student, measured at each visit as `condense.value` says."""

from kcd_pipeline.condensation.values.accumulation import visits
from kcd_pipeline.condensation.values.build import make_worth
from kcd_pipeline.condensation.values.entropy import prediction_entropy
from kcd_pipeline.condensation.values.worth import Worth

__all__ = ["Worth", "make_worth", "prediction_entropy", "visits"]
