"""Labels as files have them, names or numbers, and the classes that they stand for."""

import re
from collections.abc import Callable, Collection, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say

WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
NAMED = 5  # classes or labels that a message names
MISSING = "-1"  # a label that is none, as Hugging Face's and torchvision's data sets have it


def class_names(found: Collection[str], given: Sequence[str] | None, place: str) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their labels.

    Parameters
    ----------
    found
        The labels of the training set, as text.
    given
        `data.classes`. Without it, the labels themselves are the names: in the order of numbers if all of them are
        whole numbers, and sorted as text if not.
    place
        What holds the training set, for messages.

    Raises
    ------
    UserError
        If the labels are numbers with a gap, as it cannot be known which classes are missing.
    """
    if given is not None:
        return tuple(given)
    if not found or not _are_numbers(found):
        return tuple(sorted(found))
    numbers = sorted(map(int, found))
    first, last = numbers[0], numbers[-1]
    gaps = last - first + 1 - len(numbers)
    if not gaps:
        return tuple(map(str, numbers))
    there = set(numbers)
    missing = list(islice((number for number in range(first, last) if number not in there), NAMED))
    raise UserError(
        f"{place}: the labels are the numbers {first} to {last} without {_listed(missing, gaps)}. Set "
        f"data.classes to the names of all classes, in the order of their numbers from 0, or to the numbers that are "
        f"there, as texts."
    )


def label_places(
    texts: Sequence[str], classes: Sequence[str], *, numbered: bool, where: Callable[[int], str]
) -> NDArray[np.int64]:
    """Return the place in `classes` of each label in `texts[N]`: int64 `[N]`.

    Parameters
    ----------
    numbered
        True if labels may also be numbers, which count the classes from 0.
    where
        Says where label `k` is written, for messages.

    Raises
    ------
    UserError
        If a label is none of `classes`.
    """
    places = {name: place for place, name in enumerate(classes)}
    unknown = set(texts) - places.keys()
    if unknown and numbered and _are_numbers(set(texts)):
        places = {str(place): place for place in range(len(classes))}
        unknown = set(texts) - places.keys()
    if unknown:
        first = next(k for k, text in enumerate(texts) if text in unknown)
        raise UserError(
            f"{where(first)}: the label {texts[first][:80]!r} is none of the {len(classes):,} classes "
            f"({_listed(classes)}){f', nor a number from 0 to {len(classes) - 1}' if numbered else ''}. Correct it, or "
            f"set data.classes to the names of all classes."
        )
    return np.fromiter((places[text] for text in texts), np.int64, len(texts))


def settle_labels(
    texts: Sequence[Sequence[str]],
    where: Sequence[Callable[[int], str]],
    *,
    stated: Sequence[str] | None,
    given: Sequence[str] | None,
    place: str,
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Return the labels `[N]` of each split, whose training set is the first, and the names of the classes.

    Parameters
    ----------
    texts
        The labels of each split, names or numbers.
    where
        Of each split, how messages call a sample.
    stated
        The names of the classes that the data itself has; None if it has none.
    given
        `data.classes`.
    place
        What holds the data set, for messages.

    Raises
    ------
    UserError
        If the data and the recipe name other classes, or a label is none of them.
    """
    if stated is not None and given is not None and tuple(stated) != tuple(given):
        raise UserError(
            f"{place} has its own names of classes ({_listed(stated)}), and data.classes says {_listed(given)}. Leave "
            f"data.classes out, or make both the same."
        )
    for of, name in zip(texts, where, strict=True):
        if MISSING in of:
            raise UserError(
                f"{name(of.index(MISSING))} has the label {MISSING}, as have {of.count(MISSING):,} of {len(of):,}. "
                f"That stands for none, as where the labels of a test set are kept secret: take a split that has them."
            )
    names = stated if stated is not None else given
    classes = class_names(set(texts[0]), names, place)
    labels = [
        label_places(of, classes, numbered=names is not None, where=name) for of, name in zip(texts, where, strict=True)
    ]
    say_if_a_class_is_empty(labels[0], classes, place)
    return labels, classes


def say_if_a_class_is_empty(labels: NDArray[np.int64], classes: Sequence[str], place: str) -> None:
    """Say which of `classes` no training image is of, as may be where `data.classes` names them."""
    counts = np.bincount(labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
    if empty:
        say(f"{place}: no training image is of the classes {_listed(empty)}")


def _are_numbers(texts: Collection[str]) -> bool:
    return all(WHOLE_NUMBER.fullmatch(text) for text in texts)


def _listed(items: Sequence[object], count: int | None = None) -> str:
    """Return the first of `count` items, of which no more need to be there, and how many there are more."""
    more = (len(items) if count is None else count) - NAMED
    return ", ".join(map(str, items[:NAMED])) + (f" and {more:,} more" if more > 0 else "")
