"""The stores and test sets behind runs, and the warnings that are due where those differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from kcd_pipeline.report.collect.runs import RunRecord
from kcd_pipeline.report.compute.economics import Economics, economics
from kcd_pipeline.report.wording import both_short, count, names
from kcd_stores import differences

REACHES_ALL = ("dataset.", "augmentation.")  # what a student that learns from labels alone meets of a store's making


@dataclass(frozen=True, kw_only=True, eq=False)
class StoreUse:
    """One store and the runs whose recipe names it; `letter` is what the report calls it."""

    letter: str
    facts: Mapping[str, Any]
    runs: tuple[RunRecord, ...]

    @property
    def students(self) -> tuple[RunRecord, ...]:
        """The runs that were taught from it."""
        return tuple(run for run in self.runs if run.taught)

    @property
    def economics(self) -> Economics:
        return economics(self.facts["seconds"], self.facts["rows"], [run.rows_trained for run in self.runs])

    @property
    def made_from(self) -> dict[str, Any]:
        """All that makes its knowledge what it is; of a condensed set, its plan alone."""
        made_from = dict(self.facts["made_from"])
        if "condensed" in made_from:
            made_from["condensed"] = made_from["condensed"]["plan"]
        return {**made_from, "encoding": self.facts["encoding"], "views": self.facts["views"]}


def store_key(run: RunRecord) -> tuple[Any, ...] | None:
    """Equal for two runs only if they were taught the same knowledge; None where none was.

    The number of views is no part of a store's identity, but it decides what a student is taught.
    """
    if run.store is None or not run.taught:
        return None
    return (run.store["identity"], run.store["views"])


def find_stores(runs: Sequence[RunRecord]) -> list[StoreUse]:
    """The stores of `runs`, in order of appearance. A store extracted twice is two: its teacher was paid twice."""
    found: dict[tuple[Any, ...], list[RunRecord]] = {}
    for run in runs:
        if run.store is not None:
            key = (run.store["identity"], run.store["views"], run.store["seconds"])
            found.setdefault(key, []).append(run)
    return [
        StoreUse(letter=_letter(number), facts=users[0].summary["store"], runs=tuple(users))
        for number, users in enumerate(found.values())
    ]


def _letter(number: int) -> str:
    """A, B, ... Z, A2, B2, ..."""
    turn, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")


def store_warnings(stores: Sequence[StoreUse]) -> list[str]:
    """One warning for each store that differs from the first, naming what differs and both sides of it."""
    return [warning for other in stores[1:] if (warning := _store_warning(stores[0], other))]


def _store_warning(first: StoreUse, other: StoreUse) -> str | None:
    """None where they hold the same; where nobody learnt from one of them, only what reaches every student counts."""
    facts = _two_sided(first.made_from, other.made_from)
    if not (first.students and other.students):
        facts = {key: sides for key, sides in facts.items() if key.startswith(REACHES_ALL)}
    if not facts:
        return None
    listed = []
    for key, sides in facts.items():
        one, two = both_short(*sides)
        listed.append(f"{key} (store {first.letter}: {one}; store {other.letter}: {two})")
    return (
        f"Runs on different stores are compared: {_whose(first)} and {_whose(other)} differ in {', '.join(listed)}. "
        f"What separates these runs may come from there, not from the method."
    )


def _whose(store: StoreUse) -> str:
    return f"store {store.letter} ({store.facts['path']}; {names(run.label for run in store.runs)})"


def _two_sided(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Each dotted key on which two descriptions disagree, also where only one has it, with both values."""
    facts = {item.key: (item.found, item.expected) for item in differences(one, other)}
    return {item.key: (item.expected, item.found) for item in differences(other, one)} | facts


def test_set_warnings(runs: Sequence[RunRecord]) -> list[str]:
    """A warning where not all runs were tested on the same images."""
    sets = test_sets(runs)
    if len(sets) < 2:
        return []
    listed = [
        f"{tested[0].summary['dataset']['name']} {fingerprint[:12]} ({names(run.label for run in tested)})"
        for fingerprint, tested in sets.items()
    ]
    return [f"Accuracies cannot be compared: the runs have {len(sets)} different test sets, {'; '.join(listed)}."]


def test_sets(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """The runs of each test set, by its fingerprint."""
    sets: dict[str, list[RunRecord]] = {}
    for run in runs:
        sets.setdefault(run.test_set, []).append(run)
    return sets


def saving(store: StoreUse) -> str:
    """One sentence on whether the store has paid for itself."""
    cost = store.economics
    if cost.pays_off_at is None:
        return "no student learnt from it"
    at = count(cost.pays_off_at, "student")
    return f"paid for itself (at {at})" if cost.paid_off else f"not yet paid for itself (would be at {at})"
