"""Sparse encodings: a few classes of each row, documented array by array. Both decode to logits of C classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.base import ArraySpec, id_dtype, out_of_range
from kcd_stores.philox import SAMPLE_STREAM, philox, uniform

ABSENT = -1e4  # logit of a class that was never drawn: its probability is 0 at any temperature below 100


@dataclass(frozen=True, kw_only=True)
class TopK:
    """`topk`: the k largest logits and, so that nothing of the tail's mass is lost, what the rest comes to.

    values  [V, N, k]  float16: the k largest logits, descending
    classes [V, N, k]  the class of each, in the smallest unsigned integer that fits
    rest    [V, N]     float32: log-sum-exp of the other C - k logits, computed in float32 from logits

    Decoded, the other classes share `rest` evenly: each has the logit `rest - log(C - k)`. So the decoded row is
    a row of logits: a proper distribution at every temperature, its tail never negative and never thrown away.
    """

    k: int = 8
    name = "topk"
    extra = 0

    def settings(self) -> dict[str, Any]:
        return {"k": self.k}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if not 1 <= self.k < classes:
            raise ValueError(f"topk keeps 1 to {classes - 1} of {classes} classes, got k {self.k}")
        ids, nan = id_dtype(classes), float("nan")
        none = np.iinfo(ids).max
        return (
            ArraySpec(name="values", dtype=np.dtype("float16"), width=(self.k,), fill=nan, packed=2),
            ArraySpec(name="classes", dtype=ids, width=(self.k,), fill=none, packed=ids.itemsize, limit=classes),
            ArraySpec(name="rest", dtype=np.dtype("float32"), width=(), fill=nan, packed=4),
        )

    def encode(self, logits: NDArray[np.float32], *, view: int, first: int) -> dict[str, NDArray[Any]]:
        largest = float(np.finfo(np.float16).max)
        if wrong := out_of_range(logits, -largest, largest):
            raise ValueError(f"{wrong}, all that topk holds; use store.encoding float32")
        order = np.argsort(-logits, axis=1, kind="stable")  # ties by class
        top, others = order[:, : self.k], np.take_along_axis(logits, order[:, self.k :], axis=1)
        highest = others.max(axis=1)
        rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
        return {
            "values": np.take_along_axis(logits, top, axis=1).astype(np.float16),
            "classes": top.astype(id_dtype(logits.shape[1])),
            "rest": rest.astype(np.float32),
        }

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        tail = parts["rest"] - np.float32(np.log(classes - self.k))
        logits = np.empty((len(tail), classes), np.float32)
        logits[...] = tail[:, None]
        place = parts["classes"] + np.arange(0, logits.size, classes)[:, None]
        logits.reshape(-1)[place] = parts["values"]
        return logits


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`sample`: classes drawn from the teacher's distribution at temperature 1, an unbiased estimate of it.

    classes [V, N, draws]  the classes drawn, ascending: one that was drawn m times stands there m times

    Random sampling knowledge distillation (arXiv 2503.16870). A class has probability count / draws, whose
    expectation is the teacher's own; decoded it is the log of that, and `ABSENT` for classes not drawn. What is
    unbiased is the distribution at temperature 1, not its softened forms. Draws come from a counter-based
    generator, by (seed, sample, view), so the same row is always drawn the same.
    """

    draws: int = 50
    seed: int = 0
    name = "sample"
    extra = 0

    def settings(self) -> dict[str, Any]:
        return {"draws": self.draws, "seed": self.seed}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if self.draws < 1:
            raise ValueError(f"sample needs at least one draw, got draws {self.draws}")
        ids = id_dtype(classes)
        fill, packed = np.iinfo(ids).max, ids.itemsize
        return (ArraySpec(name="classes", dtype=ids, width=(self.draws,), fill=fill, packed=packed, limit=classes),)

    def encode(self, logits: NDArray[np.float32], *, view: int, first: int) -> dict[str, NDArray[Any]]:
        rows, classes = logits.shape
        exact = logits.astype(np.float64)
        mass = np.exp(exact - exact.max(axis=1, keepdims=True)).cumsum(axis=1)
        upto = mass / mass[:, -1:]
        # one search for all rows: row r's cumulated probabilities lie in (r, r + 1]
        row = np.arange(rows)[:, None]
        drawn = np.searchsorted((upto + row).ravel(), (self._uniform(rows, view, first) + row).ravel(), side="right")
        ids = np.minimum(drawn.reshape(rows, self.draws) - row * classes, classes - 1)
        return {"classes": np.sort(ids, axis=1).astype(id_dtype(classes))}

    def _uniform(self, rows: int, view: int, first: int) -> NDArray[np.float64]:
        """`[rows, draws]` in [0, 1), by (seed, sample, view)."""
        samples = np.arange(first, first + rows)
        blocks = [philox(self.seed, (samples, view, 0, SAMPLE_STREAM + b)) for b in range(-(-self.draws // 4))]
        return uniform(np.concatenate(blocks)[: self.draws].T)

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        ids = parts["classes"].astype(np.int64)
        flat = (ids + np.arange(len(ids))[:, None] * classes).ravel()
        counts = np.bincount(flat, minlength=len(ids) * classes).reshape(len(ids), classes)
        meaning = np.append(ABSENT, np.log(np.arange(1, self.draws + 1) / self.draws)).astype(np.float32)
        return meaning[counts]
