"""Trained models handed over to others: loaded from their weights alone, used, evaluated, written in other formats."""

from kcd_pipeline.handover.student import Student, load_student

__all__ = ["Student", "load_student"]
