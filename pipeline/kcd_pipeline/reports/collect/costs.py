"""The cost of training: samples, steps, seconds, and bytes of the store that were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """The cost of some epochs of one run.

    Attributes
    ----------
    epochs
        Number of epochs.
    samples
        Samples trained on; a sample counts once in each epoch.
    steps
        Steps of the optimizer. None for runs made before steps were counted.
    seconds
        Time of training, without testing.
    bytes_read
        Bytes of the store, as they are on disk, read during these epochs. Rows read ahead for the following epoch are
        among them. None for runs made before bytes were counted.
    teacher_rows, teacher_seconds
        Rows of blended pictures that the teacher was asked for, and the time that it took.
    """

    epochs: int
    samples: int
    steps: int | None
    seconds: float
    bytes_read: int | None
    teacher_rows: int
    teacher_seconds: float


def training_cost(metrics: Sequence[Mapping[str, Any]]) -> TrainingCost:
    """Return the total cost of the epochs in `metrics`, one mapping for each epoch, as in metrics.jsonl."""
    return TrainingCost(
        epochs=len(metrics),
        samples=sum(line["samples"] for line in metrics),
        steps=_total(metrics, "steps"),
        seconds=sum(line["seconds"] for line in metrics),
        bytes_read=_total(metrics, "bytes_read"),
        teacher_rows=sum(line.get("teacher_rows", 0) for line in metrics),
        teacher_seconds=sum(line.get("teacher_seconds", 0.0) for line in metrics),
    )


def _total(metrics: Sequence[Mapping[str, Any]], key: str) -> int | None:
    """Return the sum of `key` over all epochs; None if an epoch lacks it."""
    return sum(line[key] for line in metrics) if all(key in line for line in metrics) else None
