"""Compare records: experiments over their seeds, stores, costs, differing settings. Pure functions; no file is read."""

from kcd_pipeline.report.compute.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
