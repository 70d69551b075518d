"""`teacher.classes`: which outputs of a teacher of other classes stand for each class of the data set.

Letters: C classes of the data set, K outputs of the teacher.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from kcd_pipeline.config import ClassMap, did_you_mean
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError

Choice = list[int | str]
Names = Sequence[Sequence[str]]  # for each output, all names of its class

LISTED = 5  # names or indices in a message


def choices_by_class(given: ClassMap, dataset: Dataset) -> list[Choice]:
    """Return for each of the C classes of a data set, in order, what a recipe names of the teacher's classes.

    Raises
    ------
    UserError
        If a class of the data set has no entry, or an entry belongs to none.
    """
    if not isinstance(given, Mapping):
        if len(given) != len(dataset.classes):
            raise UserError(
                f"teacher.classes has {len(given)} entries, but {dataset.name} has {len(dataset.classes)} classes. "
                f"Give one for each class, in this order: {_few(dataset.classes)}."
            )
        return [_as_list(entry) for entry in given]
    labels = dataset.label_names or dataset.classes
    keys = [name if name in given else label for name, label in zip(dataset.classes, labels, strict=True)]
    if missing := [key for key in keys if key not in given]:
        raise UserError(
            f"teacher.classes says nothing of {_few(missing)}, expected an entry for each of the {len(keys)} "
            f"classes of {dataset.name}."
        )
    if unknown := [key for key in given if key not in keys]:
        raise UserError(
            f"teacher.classes has an entry for '{unknown[0]}', which is no class of {dataset.name}"
            f"{did_you_mean(unknown[0], keys)} (there are: {_few(keys)})."
        )
    return [_as_list(given[key]) for key in keys]


def _as_list(entry: int | str | Sequence[int | str]) -> Choice:
    return [entry] if isinstance(entry, int | str) else list(entry)


def outputs_by_class(choices: Sequence[Choice], outputs: int, names: Names | None) -> list[list[int]]:
    """Return for each of the C classes the teacher's outputs, 0..K-1, that its choice names.

    Parameters
    ----------
    choices
        As `choices_by_class` returns them.
    outputs
        K.
    names
        The names of the teacher's classes; None if they are not known.

    Raises
    ------
    UserError
        If there is no such class, its name belongs to several, or one output is chosen twice.
    """
    index = None if names is None else _by_name(names)
    found = [[_output(one, outputs, index) for one in choice] for choice in choices]
    if twice := [output for output, count in Counter(chain.from_iterable(found)).items() if count > 1]:
        raise UserError(
            f"teacher.classes names the teacher's class {twice[0]}{_called(twice[0], names)} twice. Each may stand for "
            f"one class of the data set at most."
        )
    return found


def _by_name(names: Names) -> dict[str, list[int]]:
    """Return the outputs that have each name, in small letters."""
    index: dict[str, list[int]] = {}
    for output, known in enumerate(names):
        for name in {name.casefold() for name in known}:
            index.setdefault(name, []).append(output)
    return index


def _output(chosen: int | str, outputs: int, index: Mapping[str, list[int]] | None) -> int:
    if isinstance(chosen, int):
        if chosen >= outputs:
            raise UserError(
                f"teacher.classes names the teacher's class {chosen}, but it has {outputs:,}, counted from 0."
            )
        return chosen
    if index is None:
        raise UserError(
            f"teacher.classes names the teacher's class '{chosen}', but its weights do not say what its {outputs:,} "
            f"classes are called. Give indices, counted from 0."
        )
    found = index.get(chosen.casefold(), [])
    if not found:
        raise UserError(
            f"teacher.classes: none of the teacher's {outputs:,} classes is called '{chosen}'"
            f"{did_you_mean(chosen.casefold(), index) or '.'} Give one by name, or by index, counted from 0."
        )
    if len(found) > 1:
        raise UserError(
            f"teacher.classes: {len(found)} classes of the teacher are called '{chosen}': {_few(found)}. Give the "
            f"index of the one that is meant."
        )
    return found[0]


def _called(output: int, names: Names | None) -> str:
    return f" ('{names[output][0]}')" if names is not None and names[output] else ""


def _few(items: Sequence[object]) -> str:
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return ", ".join(map(str, items[:LISTED])) + more
