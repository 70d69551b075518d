"""Stage 2, online: from a knowledge store to a student."""

from kcd_pipeline.distillation.distill import Distillation, distill

__all__ = ["Distillation", "distill"]
