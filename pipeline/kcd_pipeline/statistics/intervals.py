"""Intervals of a mean, from a few independent values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Numbers = Sequence[float] | NDArray[np.float64]

LEVEL = 0.95  # share of such intervals that hold the true mean
RESAMPLES = 9_999
SAME = 1e-12  # values that differ by less, relative to their size, are equal but for rounding


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and the interval around it; `low` and `high` are None where the values show no deviation.

    Values show none if there is only one, or if all are equal: an interval without width would claim a certainty that
    a few seeds with the same number of right answers do not give.
    """

    mean: float
    low: float | None
    high: float | None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"an interval has both ends or none, got {self.low} and {self.high}")
        ends = [end for end in (self.low, self.high) if end is not None]
        if not all(math.isfinite(number) for number in (self.mean, *ends)) or sorted(ends) != ends:
            raise ValueError(f"an interval is finite and in ascending order, got {self}")

    @property
    def above_zero(self) -> bool:
        """True if the interval is known and lies above 0."""
        return self.low is not None and self.low > 0

    @property
    def below_zero(self) -> bool:
        """True if the interval is known and lies below 0."""
        return self.high is not None and self.high < 0


def t_interval(values: Numbers, level: float = LEVEL) -> Interval:
    """Return the mean of `values` `[n]` and Student's t interval, mean +- t(n - 1) s / sqrt(n).

    It assumes that means of n values are about normal (Student, The probable error of a mean, Biometrika, 1908).

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or `level` is not between 0 and 1.
    """
    x = checked(values)
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval is between 0 and 1, got {level}")
    mean = float(x.mean())
    if all_equal(x):
        return Interval(mean=mean, low=None, high=None)
    half = float(stdtrit(len(x) - 1, (1 + level) / 2) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def bootstrap_interval(values: Numbers, seed: int = 0, level: float = LEVEL) -> Interval:
    """Return the mean of `values` `[n]` and its percentile bootstrap interval, of 9,999 resamples drawn by `seed`.

    It assumes nothing about the form of the distribution, but is too narrow for a handful of values (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The order of the values does not matter.

    Raises
    ------
    ValueError
        If there is no value, or one is not finite.
    """
    x = np.sort(checked(values))
    mean = float(x.mean())
    if all_equal(x):
        return Interval(mean=mean, low=None, high=None)
    from scipy.stats import bootstrap

    rng = np.random.default_rng(seed)
    found = bootstrap((x,), np.mean, n_resamples=RESAMPLES, confidence_level=level, method="percentile", rng=rng)
    ends = found.confidence_interval
    return Interval(mean=mean, low=float(ends.low), high=float(ends.high))


def checked(values: Numbers) -> NDArray[np.float64]:
    """Return `values` as a float64 array `[n]`; raise `ValueError` unless there is one and all are finite."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"one or more finite values are needed, got {values}")
    return x


def all_equal(x: NDArray[np.float64]) -> bool:
    """Return True if the values `[n]` are equal but for rounding, as a single one is."""
    return bool(np.ptp(x) <= SAME * max(1.0, float(np.abs(x).max())))
