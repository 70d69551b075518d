"""The stores and test sets of runs, and warnings where these differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute.economics import Economics, store_economics
from kcd_pipeline.reports.wording import counted, listing, shortened_pair
from kcd_stores import differences

# Beginnings of the keys that matter even to a student that learns from labels alone
REACH_ALL_STUDENTS = ("dataset.", "augmentation.")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoreUse:
    """One store and the runs whose config names it; the report calls it by its `letter`."""

    letter: str
    facts: Mapping[str, Any]
    runs: tuple[RunRecord, ...]

    @property
    def students(self) -> tuple[RunRecord, ...]:
        """The runs that learnt from the store's knowledge."""
        return tuple(run for run in self.runs if run.taught)

    @property
    def economics(self) -> Economics:
        """The cost of the store, shared by its students."""
        trained, judged = [run.rows_trained for run in self.runs], sum(run.teacher_rows for run in self.runs)
        return store_economics(self.facts["seconds"], self.facts["rows"], trained, judged)

    @property
    def made_from(self) -> dict[str, Any]:
        """All facts that decide the store's knowledge. A condensed set is described by its plan alone."""
        made_from = dict(self.facts["made_from"])
        if "condensed" in made_from:
            made_from["condensed"] = made_from["condensed"]["plan"]
        return {**made_from, "encoding": self.facts["encoding"], "views": self.facts["views"]}


def knowledge_key(run: RunRecord) -> tuple[Any, ...] | None:
    """Return a key that two runs share only if they learnt from the same knowledge; None for a run that used none.

    The number of views is in the key because it decides what a student is taught, but is no part of a store's identity.
    """
    if run.store is None or not run.taught:
        return None
    facts = tuple(fact for store in run.stores for fact in (store["identity"], store["views"]))
    return facts if len(run.stores) == 1 else (*facts, *_blending(run.config))


def _blending(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return how the rows of several teachers are blended: in which space, and by which weights."""
    teachers = (config["teacher"], *config.get("other_teachers", ()))
    return (config["distill"].get("blend"), *(teacher.get("weight") for teacher in teachers))


def find_stores(runs: Sequence[RunRecord]) -> list[StoreUse]:
    """Return the stores of `runs`, in order of appearance; those of several teachers one after the other.

    A store that was extracted twice counts as two, because its teacher ran twice.
    """
    found: dict[tuple[Any, ...], tuple[Mapping[str, Any], list[RunRecord]]] = {}
    for run in runs:
        for store in run.stores:
            key = (store["identity"], store["views"], store["seconds"])
            found.setdefault(key, (store, []))[1].append(run)
    return [
        StoreUse(letter=_letter(number), facts=facts, runs=tuple(users))
        for number, (facts, users) in enumerate(found.values())
    ]


def _letter(number: int) -> str:
    """Return the name of the store with this number from 0: A, B, ... Z, A2, B2, ..."""
    turn, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")


def warnings_of_stores(stores: Sequence[StoreUse]) -> list[str]:
    """Return a warning for each store that differs from the first; it names each difference and both sides of it.

    Stores of several teachers that all runs share are no reason for one.
    """
    apart = [other for other in stores[1:] if set(other.runs) != set(stores[0].runs)]
    return [warning for other in apart if (warning := _store_warning(stores[0], other))]


def _store_warning(first: StoreUse, other: StoreUse) -> str | None:
    """Return a warning if two stores differ, else None.

    Where no run learnt from one of them, only those facts count that matter to every student.
    """
    facts = _two_sided(first.made_from, other.made_from)
    if not (first.students and other.students):
        facts = {key: sides for key, sides in facts.items() if key.startswith(REACH_ALL_STUDENTS)}
    if not facts:
        return None
    listed = []
    for key, sides in facts.items():
        one, two = shortened_pair(*sides)
        listed.append(f"{key} (store {first.letter}: {one}; store {other.letter}: {two})")
    return (
        f"Runs on different stores are compared: {_named(first)} and {_named(other)} differ in {', '.join(listed)}. "
        f"Differences between these runs may come from their stores, not from the method."
    )


def _named(store: StoreUse) -> str:
    return f"store {store.letter} ({store.facts['path']}; {listing(run.label for run in store.runs)})"


def _two_sided(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return both values of each dotted key on which two descriptions differ, also where only one has the key."""
    facts = {item.key: (item.found, item.expected) for item in differences(one, other)}
    return {item.key: (item.expected, item.found) for item in differences(other, one)} | facts


def warnings_of_test_sets(runs: Sequence[RunRecord]) -> list[str]:
    """Return a warning if not all runs were tested on the same images."""
    sets = _runs_by_test_set(runs)
    if len(sets) < 2:
        return []
    listed = [
        f"{tested[0].summary['dataset']['name']} {fingerprint[:12]} ({listing(run.label for run in tested)})"
        for fingerprint, tested in sets.items()
    ]
    return [f"Accuracies cannot be compared: the runs have {len(sets)} different test sets, {'; '.join(listed)}."]


def _runs_by_test_set(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return the runs of each test set, by its fingerprint."""
    sets: dict[str, list[RunRecord]] = {}
    for run in runs:
        sets.setdefault(run.test_set, []).append(run)
    return sets


def saving_words(store: StoreUse) -> str:
    """Return a clause on whether the store has paid for itself."""
    cost = store.economics
    if not cost.student_count:
        return "no student learnt from it"
    if cost.pays_off_at is None:
        return "its students asked the teacher for as many rows as they took from it"
    at = counted(cost.pays_off_at, "student")
    return f"paid for itself (at {at})" if cost.paid_off else f"not yet paid for itself (would be at {at})"
