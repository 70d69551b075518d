"""Verification of a store: it is whole and undamaged, and its rows are still those of its teacher."""

from kcd_pipeline.verification.against_teacher import TeacherAgreement, compare_with_teacher
from kcd_pipeline.verification.verify import verify

__all__ = ["TeacherAgreement", "compare_with_teacher", "verify"]
