"""The lines of an exported table: one for each pair that an arm is the first of, one for an arm that is in none."""

from collections.abc import Iterator
from dataclasses import dataclass

from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.compute.pairs import PairResult


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One line of the table.

    Attributes
    ----------
    arm
        The arm.
    pair
        A pair whose first is the arm; None if the arm is compared with no other.
    repeats
        True if the line before it has the same arm.
    best
        True if the arm is ahead of every other.
    """

    arm: Arm
    pair: PairResult | None
    repeats: bool
    best: bool

    @property
    def parameters(self) -> int | None:
        """The number of parameters of the student; None if the run did not record it."""
        found: int | None = self.arm.first.summary.get("parameters")
        return found

    @property
    def multiply_adds(self) -> int | None:
        """The student's multiply-adds for one image; None if they were not recorded or could not be counted."""
        found: int | None = self.arm.first.summary.get("multiply_adds")
        return found


def lines_of(comparison: Comparison) -> Iterator[Line]:
    """Yield the lines, arms and pairs in the order of the comparison."""
    for arm in comparison.arms:
        pairs = [pair for pair in comparison.pairs if pair.first is arm]
        for number, pair in enumerate(pairs or [None]):
            yield Line(arm=arm, pair=pair, repeats=number > 0, best=arm is comparison.best)
