"""Compare records: arms over their seeds, pairs, stores, costs, differing settings. Pure functions; no file is read."""

from kcd_pipeline.reports.compute.comparison import Comparison, compare
from kcd_pipeline.reports.compute.frame import FramedArm, StudyFrame

__all__ = ["Comparison", "FramedArm", "StudyFrame", "compare"]
