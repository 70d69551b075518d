"""The comparison of runs: everything that table, page and JSON show, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

from kcd_pipeline.report.collect import RunRecord, UnfinishedRun
from kcd_pipeline.report.compute.groups import Group, best_groups, group_by_experiment
from kcd_pipeline.report.compute.settings import Setting, differing_settings
from kcd_pipeline.report.compute.stores import StoreUse, find_stores, warnings_of_stores, warnings_of_test_sets


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The runs of a report, and what they say together.

    Attributes
    ----------
    runs
        In the order in which they were given.
    groups
        The experiments: runs that differ only by seed.
    best
        The groups with the best mean accuracy; empty where none stands out, or test sets differ.
    stores
        The stores that the runs' configs name.
    settings
        The settings on which runs differ.
    warnings
        Sentences on everything that makes the comparison less than fair.
    unfinished
        Runs that are shown without being compared.
    """

    runs: tuple[RunRecord, ...]
    groups: tuple[Group, ...]
    best: tuple[Group, ...]
    stores: tuple[StoreUse, ...]
    settings: tuple[Setting, ...]
    warnings: tuple[str, ...]
    unfinished: tuple[UnfinishedRun, ...] = ()

    def store_letter(self, run: RunRecord) -> str | None:
        """Return the letter of the store that `run` learnt from; None if it learnt from labels alone."""
        return next((store.letter for store in self.stores if run in store.students), None)

    @property
    def teacher_accuracy(self) -> float | None:
        """Test accuracy of the teacher, 0..1.

        None if the runs have several teachers or test sets, or if the accuracy was not measured.
        """
        teachers = [store.facts["made_from"]["teacher"] for store in self.stores if store.students]
        hashes = {teacher.get("weights_sha256") for teacher in teachers}
        same_test_set = len({run.test_set for run in self.runs}) == 1
        return teachers[0].get("test_accuracy") if len(hashes) == 1 and same_test_set else None


def compare(runs: Sequence[RunRecord], unfinished: Sequence[UnfinishedRun] = ()) -> Comparison:
    """Compare `runs`, which are finished; those that are `unfinished` are only listed."""
    groups, seed_warnings = group_by_experiment(runs)
    stores = find_stores(runs)
    return Comparison(
        runs=tuple(runs),
        groups=tuple(groups),
        best=tuple(best_groups(groups)),
        stores=tuple(stores),
        settings=tuple(differing_settings(runs)),
        warnings=(*warnings_of_test_sets(runs), *warnings_of_stores(stores), *seed_warnings),
        unfinished=tuple(unfinished),
    )
