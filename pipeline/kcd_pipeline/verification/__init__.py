"""Verification of a store: it is whole and undamaged, and its rows are still those of its teacher."""

from kcd_pipeline.verification.verify import verify

__all__ = ["verify"]  # the comparison with a teacher, in against_teacher, loads torch
