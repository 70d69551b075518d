"""Classes of a data set whose labels are numbers or names in a column, and the numbers that names stand for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say

MISSING = -1  # what Hugging Face's sets have where a picture has no label
SHOWN = 4  # names in a message


def settle_classes(
    *, stated: Any, given: Sequence[str] | None, labels: Sequence[NDArray[np.int64]], place: str
) -> tuple[str, ...]:
    """Return the names of the classes that the numbers in `labels`, of each split `[N]`, stand for.

    Parameters
    ----------
    stated
        The names that the data itself has; None if it has none.
    given
        `data.classes`.
    place
        How messages call the data set.

    Returns
    -------
    tuple[str, ...]
        Those of the data or of the recipe, or else `"0"` to the largest label.

    Raises
    ------
    UserError
        If both have names and they differ, a name stands twice, or a label has no class.
    """
    names = None if stated is None else tuple(map(str, stated))
    if names is not None and given is not None and names != tuple(given):
        raise UserError(
            f"{place} has its own names of classes ({_some(names)}), and data.classes says {_some(given)}. Leave "
            f"data.classes out, or make both the same."
        )
    highest = max(int(of.max()) for of in labels)
    names = names or (None if given is None else tuple(given)) or tuple(map(str, range(highest + 1)))
    require_distinct(names, place)
    for of, split in zip(labels, ("training", "test"), strict=False):
        wrong = np.flatnonzero((of < 0) | (of >= len(names)))
        if len(wrong):
            raise UserError(
                f"{place}: {len(wrong):,} labels of the {split} set have no class, the first is {of[wrong[0]]} of "
                f"sample {wrong[0]}. Expected numbers from 0 to {len(names) - 1} ({_some(names)})"
                + (": a test set whose labels are kept secret cannot be used." if of[wrong[0]] == MISSING else ".")
            )
    _say_if_empty(names, labels[0], place)
    return names


def number_names(
    values: Sequence[Sequence[str]], given: Sequence[str] | None, place: str
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Return the labels `[N]` of each split whose column holds names of classes, and the classes.

    They are in the order of `given`, `data.classes`, or else sorted, which is the order of folders of the same names.

    Raises
    ------
    UserError
        If a name of another split than the first, or of any if `given` says which there are, is no class.
    """
    names = tuple(given) if given is not None else tuple(sorted(set(values[0])))
    require_distinct(names, place)
    unknown = sorted(set().union(*values) - set(names))
    if unknown:
        where = "data.classes" if given is not None else "the training set"
        raise UserError(
            f"{place}: {len(unknown)} classes that {where} has not: {_some(unknown)}. Expected {_some(names)}."
        )
    numbers = {name: number for number, name in enumerate(names)}
    labels = [np.array([numbers[name] for name in of], np.int64) for of in values]
    _say_if_empty(names, labels[0], place)
    return labels, names


def require_distinct(names: Sequence[str], place: str) -> None:
    """Raise UserError if two classes have one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{place}: classes need different names, and these stand twice: {_some(twice)}.")


def _say_if_empty(names: Sequence[str], labels: NDArray[np.int64], place: str) -> None:
    empty = [name for name, count in zip(names, np.bincount(labels, minlength=len(names)), strict=True) if not count]
    if empty:
        say(f"{place}: {len(empty)} of {len(names)} classes have no training image: {_some(empty)}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
