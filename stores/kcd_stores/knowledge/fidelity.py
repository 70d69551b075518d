"""How true an encoding is to the logits that it holds, and what it takes: measured by writing some and reading them.

Letters: n rows, C classes, T temperature.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Encoding, row_bytes
from kcd_stores.knowledge.layout import choose_layout
from kcd_stores.knowledge.store import KnowledgeStore

TEMPERATURE = 4.0  # at which distributions are compared: softened, as students are taught
NO_MASS = -100.0  # of a log-probability: a class that `sample` never drew, where the divergence has no bound


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Stored logits against the float32 ones that they were made from.

    Attributes
    ----------
    rows
        How many were compared.
    mean_kl
        Mean of KL(teacher || stored) at `temperature`, in nats; None where it has no bound.
    top1
        How many have the same largest logit, 0..1.
    bytes_per_row
        On disk.
    """

    rows: int
    mean_kl: float | None
    top1: float
    bytes_per_row: float
    temperature: float = TEMPERATURE


def measure_fidelity(logits: NDArray[np.float32], encoding: Encoding) -> Fidelity:
    """Write `logits[n, C]` float32 to a scratch store in `encoding`, read them back, and compare.

    Rows may have features behind their logits, as the encoding says: their bytes count, what they say is not compared.
    """
    rows, classes = len(logits), logits.shape[1] - encoding.feature_columns
    layout = choose_layout(views=1, samples=rows, classes=classes, row_bytes=row_bytes(encoding, classes))
    with tempfile.TemporaryDirectory() as scratch:
        store = KnowledgeStore.create(Path(scratch) / "trial.zarr", layout=layout, encoding=encoding, made_from={})
        for view, block in layout.all_blocks():
            span = layout.rows(block)
            store.write_block(view, block, logits[span.start : span.stop], seconds=0.0)
        stored, size = store.read_view(0)[:, :classes], store.knowledge_bytes()
    logits = logits[:, :classes]
    return Fidelity(
        rows=rows,
        mean_kl=mean_divergence(logits, stored),
        top1=float((stored.argmax(axis=1) == logits.argmax(axis=1)).mean()),
        bytes_per_row=size / rows,
    )


def mean_divergence(teacher: NDArray[np.floating], stored: NDArray[np.floating]) -> float | None:
    """Mean KL(teacher || stored) of logits `[n, C]` at T = 4, in nats; None where a class has no mass."""
    p, q = log_softmax(teacher), log_softmax(stored)
    return None if q.min() < NO_MASS else float((np.exp(p) * (p - q)).sum(axis=1).mean())


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of `logits[n, C]`, at T = 4."""
    scaled = logits.astype(np.float64) / TEMPERATURE
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
