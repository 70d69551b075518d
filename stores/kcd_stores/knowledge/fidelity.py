"""Measure an encoding by writing some rows and reading them back: how close they are, and the bytes that they take.

Letters: n rows, C classes, D features, T temperature.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Encoding, row_bytes
from kcd_stores.knowledge.layout import choose_layout
from kcd_stores.knowledge.writer import KnowledgeWriter

TEMPERATURE = 4.0  # T at which distributions are compared: softened, as students are taught
NO_MASS = -100.0  # log-probabilities below are those of classes that `sample` never drew: the divergence is unbounded


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """A comparison of stored logits with the float32 ones that they were made from.

    Attributes
    ----------
    rows
        Number of rows that were compared.
    mean_kl
        Mean of KL(teacher || stored) at `temperature`, in nats; None if it is unbounded, or there are no logits.
    top1
        Share of rows, 0 to 1, whose largest logit is of the same class; None if there are no logits.
    bytes_per_row
        Bytes on disk, features included.
    """

    rows: int
    mean_kl: float | None
    top1: float | None
    bytes_per_row: float
    temperature: float = TEMPERATURE


def measure_fidelity(rows: NDArray[np.float32], encoding: Encoding) -> Fidelity:
    """Write `rows[n, C]` float32 to a scratch store in `encoding`, read them back, and compare.

    With an encoding of features, rows are `[n, C + D]`: the bytes of the features count, their values are not compared.

    Raises
    ------
    ValueError
        If a number is not finite or outside the range of the encoding.
    """
    classes = rows.shape[1] - encoding.feature_columns
    stored, size = written_and_read(rows, encoding)
    logits, stored = rows[:, :classes], stored[:, :classes]
    return Fidelity(
        rows=len(rows),
        mean_kl=mean_divergence(logits, stored) if classes else None,
        top1=agreement(logits, stored) if classes else None,
        bytes_per_row=size / len(rows),
    )


def written_and_read(rows: NDArray[np.float32], encoding: Encoding) -> tuple[NDArray[Any], int]:
    """Write `rows[n, C + D]` float32 to a scratch store; return them as they are read back, and their bytes on disk."""
    count, classes = len(rows), rows.shape[1] - encoding.feature_columns
    layout = choose_layout(views=1, samples=count, classes=classes, row_bytes=row_bytes(encoding, classes))
    with tempfile.TemporaryDirectory() as scratch:
        writer = KnowledgeWriter.create(Path(scratch) / "trial.zarr", layout=layout, encoding=encoding, made_from={})
        for view, block in layout.all_blocks():
            span = layout.rows(block)
            writer.write_block(view, block, rows[span.start : span.stop], seconds=0.0)
        return writer.store.read_view(0), writer.store.inventory.knowledge_bytes()


def agreement(teacher: NDArray[np.floating], stored: NDArray[np.floating]) -> float:
    """Return the share of rows of logits `[n, C]`, 0 to 1, whose largest logit is of the same class in both."""
    return float((stored.argmax(axis=1) == teacher.argmax(axis=1)).mean())


def mean_divergence(
    teacher: NDArray[np.floating], stored: NDArray[np.floating], temperature: float = TEMPERATURE
) -> float | None:
    """Return the mean KL(teacher || stored) of logits `[n, C]` at a temperature, in nats; None if it is unbounded."""
    p, q = log_softmax(teacher, temperature), log_softmax(stored, temperature)
    return None if q.min() < NO_MASS else float((np.exp(p) * (p - q)).sum(axis=1).mean())


def log_softmax(logits: NDArray[np.floating], temperature: float = TEMPERATURE) -> NDArray[np.float64]:
    """Return log softmax(logits / T), `[n, C]` float64, of `logits[n, C]`."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
