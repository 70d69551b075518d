"""The difference of two arms that were measured with the same seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from kcd_pipeline.statistics.intervals import Interval, bootstrap_interval, t_interval
from kcd_pipeline.statistics.power import seeds_needed
from kcd_pipeline.statistics.significance import sign_flip_p


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Differences of two arms, one for each seed that both have, in ascending order of seeds.

    A seed gives both arms the same initial weights, order and views, so that the difference of the two varies less
    than either of them.
    """

    seeds: tuple[int, ...]
    differences: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seeds or len(self.seeds) != len(self.differences):
            raise ValueError(f"each of one or more seeds has a difference, got {self}")

    @classmethod
    def between(cls, first: Mapping[int, float], second: Mapping[int, float]) -> Self | None:
        """Return first - second for each seed that both have; None if they have none in common."""
        seeds = tuple(sorted(first.keys() & second.keys()))
        return cls(seeds=seeds, differences=tuple(first[s] - second[s] for s in seeds)) if seeds else None

    @cached_property
    def interval(self) -> Interval:
        """The mean difference and its t interval, which decides whether one arm is ahead."""
        return t_interval(self.differences)

    @cached_property
    def bootstrap(self) -> Interval:
        """The mean difference and its bootstrap interval."""
        return bootstrap_interval(self.differences)

    @cached_property
    def p(self) -> float | None:
        """The two-sided p value by flips of signs; None for one seed, of which it is always 1."""
        return sign_flip_p(self.differences) if len(self.seeds) > 1 else None

    @cached_property
    def seeds_needed(self) -> int | None:
        """The number of seeds by which a difference of this size would be told from chance; None if there is none."""
        return seeds_needed(self.differences)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation of the differences; None for one seed."""
        return float(np.std(self.differences, ddof=1)) if len(self.seeds) > 1 else None
