"""The outcome of a finished run on the test set, class by class, from the predictions that it kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.reports.collect.runs import RunRecord
from kcd_pipeline.runs import Predictions, read_predictions


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Results of one run on the images of the test set, which are of C classes.

    Attributes
    ----------
    accuracy
        Share of the images whose likeliest class is the true one, 0..1.
    top5
        Share of the images whose true class is among the five likeliest, 0..1.
    per_class
        Share of the images of each class that were found right, float64 `[C]`; NaN for a class without images.
    confusion
        Number of images by true class (rows) and likeliest class (columns), int64 `[C, C]`.
    classes
        Names of the C classes.
    """

    accuracy: float
    top5: float
    per_class: NDArray[np.float64]
    confusion: NDArray[np.int64]
    classes: tuple[str, ...]


def read_outcome(run: RunRecord, names: Mapping[str, tuple[str, ...]] | None = None) -> Outcome | None:
    """Return the outcome of `run`; None if it kept no predictions, like the runs of version 0.1.

    Parameters
    ----------
    run
        A finished run.
    names
        Names of classes by the fingerprint of their test set, for runs that had no store.

    Raises
    ------
    DamagedError
        If its predictions are not those that the run wrote.
    """
    file = run.folder.predictions
    predictions = read_predictions(file, sha256=run.summary.get("predictions_sha256"))
    if predictions is None:
        return None
    try:
        return outcome_of(predictions, class_names(run) or (names or {}).get(_test_set(run)))
    except ValueError as error:
        raise DamagedError(f"{file} does not hold the predictions of this run: {error}.") from error


def names_by_test_set(runs: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes of each test set, by its fingerprint, as far as one of `runs` knows them."""
    return {_test_set(run): names for run in runs if (names := class_names(run)) is not None}


def _test_set(run: RunRecord) -> str:
    return str(run.summary.get("dataset", {}).get("test_fingerprint"))


def class_names(run: RunRecord) -> tuple[str, ...] | None:
    """Return the names that people use for the classes of `run`, which its store knows; None if it had no store."""
    if run.store is None:
        return None
    dataset = run.store["made_from"]["dataset"]
    return tuple(map(shown_in_line, dataset.get("label_names") or dataset["classes"]))


def outcome_of(predictions: Predictions, classes: Sequence[str] | None) -> Outcome:
    """Return the outcome of predictions of N images.

    Parameters
    ----------
    classes
        Names of the C classes. Where they are not known (None), classes are called by their numbers.

    Raises
    ------
    ValueError
        If there are no images, or a class is none of the C.
    """
    likeliest, labels = predictions.likeliest, predictions.labels
    if not likeliest.size:
        raise ValueError("it has no images")
    found = np.concatenate([likeliest.ravel(), labels])
    names = tuple(map(str, range(int(found.max()) + 1))) if classes is None else tuple(classes)
    if found.min() < 0 or found.max() >= len(names):
        raise ValueError(f"classes {found.min()} to {found.max()}, expected 0 to {len(names) - 1}")
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (labels, likeliest[:, 0]), 1)
    images = confusion.sum(axis=1)
    right = confusion.diagonal()
    return Outcome(
        accuracy=float(right.sum() / len(labels)),
        top5=float((likeliest == labels[:, np.newaxis]).any(axis=1).mean()),
        per_class=np.where(images > 0, right / np.maximum(images, 1), np.nan),
        confusion=confusion,
        classes=names,
    )
