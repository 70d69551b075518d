"""Pairs: two arms compared seed by seed, with the interval that decides whether one of them is ahead."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from kcd_pipeline.config.variants import MEAN_OF_LOGITS, teachers_word
from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.compute.frame import Budget, StudyFrame
from kcd_pipeline.reports.compute.stores import knowledge_key
from kcd_pipeline.statistics import Interval, PairedDifference, holm


@dataclass(frozen=True, kw_only=True, eq=False)
class PairResult:
    """The comparison of two arms over the seeds that both have.

    Attributes
    ----------
    first, second
        The arms; differences are first - second.
    budget
        `epochs` if both were given equal epochs; `rows` if the second was stopped at the rows of the first.
    paired
        The differences in points of accuracy, by seed; None if the arms have no seed in common, or were not tested on
        the same images.
    p_holm
        The p value adjusted for all pairs that are compared; None where there is no p value.
    """

    first: Arm
    second: Arm
    budget: Budget
    paired: PairedDifference | None
    p_holm: float | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that both arms have."""
        return self.paired.seeds if self.paired else ()

    @property
    def difference(self) -> Interval | None:
        """Mean difference and its 95% t interval, in points of accuracy; None if nothing can be compared."""
        return self.paired.interval if self.paired else None

    @property
    def bootstrap(self) -> Interval | None:
        """Mean difference and its 95% bootstrap interval, in points of accuracy."""
        return self.paired.bootstrap if self.paired else None

    @property
    def p(self) -> float | None:
        """Two-sided p value by flips of signs, for this pair alone; None for fewer than two common seeds."""
        return self.paired.p if self.paired else None

    @property
    def seeds_needed(self) -> int | None:
        """The number of seeds by which a difference of this size would be found; None if that cannot be told."""
        return self.paired.seeds_needed if self.paired else None

    @property
    def ahead(self) -> bool:
        """True if the interval of the differences lies above 0: the first arm is ahead."""
        return self.difference is not None and self.difference.above_zero

    @property
    def behind(self) -> bool:
        """True if the interval of the differences lies below 0: the second arm is ahead."""
        return self.difference is not None and self.difference.below_zero

    @property
    def rows_ratio(self) -> float | None:
        """Samples that the first arm was trained on, divided by those of the second, over common seeds."""
        if self.paired is None:
            return None
        first, second = (
            statistics.fmean(run.samples_trained for run in arm.runs if run.seed in self.seeds)
            for arm in (self.first, self.second)
        )
        return first / second if second else None


def difference_in_points(first: Arm, second: Arm) -> PairedDifference | None:
    """Return the differences in points of accuracy; None without a common seed, or if the test sets differ."""
    if first.first.test_set != second.first.test_set:
        return None
    one, other = ({seed: 100 * x for seed, x in arm.accuracies.items()} for arm in (first, second))
    return PairedDifference.between(one, other)


def compared_pairs(arms: Sequence[Arm], frame: StudyFrame | None) -> list[PairResult]:
    """Return the pairs of `frame` whose arms have runs; without one, each arm with kd of its student and store.

    The p values are adjusted for all of these pairs together (Holm).
    """
    chosen = _pairs_of_study(arms, frame) if frame is not None else _pairs_with_kd(arms)
    found = [difference_in_points(first, second) for first, second, _ in chosen]
    p = {number: paired.p for number, paired in enumerate(found) if paired is not None and paired.p is not None}
    adjusted = dict(zip(p, holm(list(p.values())).tolist(), strict=True))
    return [
        PairResult(first=first, second=second, budget=budget, paired=paired, p_holm=adjusted.get(number))
        for number, ((first, second, budget), paired) in enumerate(zip(chosen, found, strict=True))
    ]


def _pairs_of_study(arms: Sequence[Arm], frame: StudyFrame) -> list[tuple[Arm, Arm, Budget]]:
    by_name = {arm.name: arm for arm in arms}
    return [(by_name[one], by_name[two], budget) for one, two, budget in frame.pairs if {one, two} <= by_name.keys()]


def _pairs_with_kd(arms: Sequence[Arm]) -> list[tuple[Arm, Arm, Budget]]:
    plain = [arm for arm in arms if _is_plain_kd(arm.first) and not _stopped_at_rows(arm)]
    pairs: list[tuple[Arm, Arm, Budget]] = []
    for arm in arms:
        rivals = [kd for kd in plain if kd is not arm and _comparable(arm, kd)]
        if arm not in plain and len(rivals) == 1:
            pairs.append((arm, rivals[0], "epochs"))
    return pairs


def _is_plain_kd(run: RunRecord) -> bool:
    """Return True if a run is of the plain method kd, whatever the number of its teachers."""
    return run.method == "kd" and set(run.variant) <= {teachers_word(len(run.stores)), MEAN_OF_LOGITS}


def _stopped_at_rows(arm: Arm) -> bool:
    """Return True if the runs of an arm were stopped at a number of rows."""
    return arm.first.config["distill"].get("rows") is not None


def _comparable(arm: Arm, kd: Arm) -> bool:
    """Return True if two arms have the same student and test set and, if both used knowledge, the same knowledge."""
    one, other = arm.first, kd.first
    same_knowledge = not one.taught or knowledge_key(one) == knowledge_key(other)
    return one.student == other.student and one.test_set == other.test_set and same_knowledge


def best_arm(arms: Sequence[Arm]) -> Arm | None:
    """Return the arm that is ahead of every other; None if there is no such arm, or only one."""
    for arm in arms:
        rivals = [other for other in arms if other is not arm]
        found = [difference_in_points(arm, other) for other in rivals]
        if found and all(paired is not None and paired.interval.above_zero for paired in found):
            return arm
    return None
