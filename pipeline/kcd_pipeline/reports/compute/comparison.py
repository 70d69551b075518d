"""The comparison of runs: everything that table, page and JSON show, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.reports.collect import RunRecord, UnfinishedRun
from kcd_pipeline.reports.compute.arms import Arm, arms_by_settings, arms_of_study
from kcd_pipeline.reports.compute.finding import finding_sentences
from kcd_pipeline.reports.compute.frame import StudyFrame
from kcd_pipeline.reports.compute.pairs import PairResult, best_arm, compared_pairs
from kcd_pipeline.reports.compute.settings import Setting, differing_settings
from kcd_pipeline.reports.compute.stores import StoreUse, find_stores, warnings_of_stores, warnings_of_test_sets


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The runs of a report, and what they say together.

    Attributes
    ----------
    runs
        In the order in which they were given.
    title
        The question of the study; None for runs that were named one by one.
    arms
        The arms: runs that differ only by seed. Those of a study have its names and its order; an arm without a
        finished run is not among them.
    pairs
        The arms that are compared with each other.
    finding
        Sentences that say the result, and what cannot be said.
    best
        The arm that is ahead of every other; None if there is none.
    stores
        The stores that the runs' configs name.
    settings
        The settings on which runs differ.
    warnings
        Sentences on everything that makes the comparison less than fair.
    unfinished
        Runs that are shown without being compared.
    planned
        The number of runs that the study shall have; None for runs that were named one by one.
    """

    runs: tuple[RunRecord, ...]
    title: str | None
    arms: tuple[Arm, ...]
    pairs: tuple[PairResult, ...]
    finding: tuple[str, ...]
    best: Arm | None
    stores: tuple[StoreUse, ...]
    settings: tuple[Setting, ...]
    warnings: tuple[str, ...]
    unfinished: tuple[UnfinishedRun, ...] = ()
    planned: int | None = None

    @property
    def not_begun(self) -> int:
        """The number of runs of the study that have not been begun; 0 for runs that were named one by one."""
        return 0 if self.planned is None else max(self.planned - len(self.runs) - len(self.unfinished), 0)

    @property
    def chosen_by(self) -> tuple[Literal["test", "validation"], ...]:
        """The kinds of images by which best epochs were chosen, in the order of runs; `test` before there are any."""
        runs: list[RunRecord | UnfinishedRun] = [*self.runs, *self.unfinished]
        return tuple(dict.fromkeys(run.chosen_by for run in runs)) or ("test",)

    @property
    def metric_headings(self) -> dict[str, str]:
        """For each metric of the user's own, by its name in the runs, a heading: the name of its function if only one
        of them is called so.
        """
        names = list(dict.fromkeys(name for run in self.runs for name in run.own_metrics))
        called = [name.partition(":")[2] or name for name in names]
        return {
            name: shown_in_line(short if called.count(short) == 1 else name)
            for name, short in zip(names, called, strict=True)
        }

    def store_letter(self, run: RunRecord) -> str | None:
        """Return the letters of the stores that `run` learnt from, such as `A` or `A+B`; None for labels alone."""
        return "+".join(store.letter for store in self.stores if run in store.students) or None

    @property
    def teacher_accuracy(self) -> float | None:
        """Test accuracy of the teacher, 0..1.

        None if the runs have several teachers or test sets, or if the accuracy was not measured.
        """
        teachers = [store.facts["made_from"]["teacher"] for store in self.stores if store.students]
        hashes = {teacher.get("weights_sha256") for teacher in teachers}
        same_test_set = len({run.test_set for run in self.runs}) == 1
        return teachers[0].get("test_accuracy") if len(hashes) == 1 and same_test_set else None


def compare(
    runs: Sequence[RunRecord], unfinished: Sequence[UnfinishedRun] = (), frame: StudyFrame | None = None
) -> Comparison:
    """Compare `runs`, which are finished; those that are `unfinished` are only listed.

    Parameters
    ----------
    runs, unfinished
        In the order in which they were given; there may be none yet.
    frame
        The study that the runs belong to. Without one, runs that differ only by seed are an arm, and each arm is
        compared with the kd arm of the same student and store, if there is one.
    """
    arms, warnings = arms_by_settings(runs) if frame is None else arms_of_study(runs, frame)
    stores = find_stores(runs)
    pairs, best = compared_pairs(arms, frame), best_arm(arms)
    return Comparison(
        runs=tuple(runs),
        title=None if frame is None else frame.title,
        arms=tuple(arms),
        pairs=tuple(pairs),
        finding=tuple(finding_sentences(arms, pairs, best)),
        best=best,
        stores=tuple(stores),
        settings=tuple(differing_settings(runs)),
        warnings=(*warnings_of_test_sets(runs), *warnings_of_stores(stores), *(warnings if runs else ())),
        unfinished=tuple(unfinished),
        planned=None if frame is None else sum(arm.planned for arm in frame.arms),
    )
