"""Stage 1, offline: from a teacher to a knowledge store."""

from kcd_pipeline.extraction.cluster import Cluster
from kcd_pipeline.extraction.estimate import Estimate, estimate
from kcd_pipeline.extraction.extract import Extraction, extract_teacher
from kcd_pipeline.extraction.several import extract_teachers, extract_together, see_same_images

__all__ = [
    "Cluster",
    "Estimate",
    "Extraction",
    "estimate",
    "extract_teacher",
    "extract_teachers",
    "extract_together",
    "see_same_images",
]
