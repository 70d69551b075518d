"""Statistics of a few seeds: intervals of means, paired differences, p values, and how many seeds would suffice.

Pure functions of numbers. `scipy.stats` takes a second to load, so only those functions that need it import it.
"""

from kcd_pipeline.statistics.intervals import LEVEL, Interval, bootstrap_interval, t_interval
from kcd_pipeline.statistics.paired import PairedDifference
from kcd_pipeline.statistics.power import MOST_SEEDS, seeds_needed
from kcd_pipeline.statistics.significance import holm, sign_flip_p, smallest_sign_flip_p

__all__ = [
    "LEVEL",
    "MOST_SEEDS",
    "Interval",
    "PairedDifference",
    "bootstrap_interval",
    "holm",
    "seeds_needed",
    "sign_flip_p",
    "smallest_sign_flip_p",
    "t_interval",
]
