"""Sparse encodings: a few classes of each row, in arrays that are described here. Both decode to logits `[n, C]`.

Letters: V views, N samples, C classes, n rows of one block.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.protocol import ArraySpec, id_dtype, out_of_range
from kcd_stores.errors import OutOfRangeError
from kcd_stores.philox import SAMPLE_STREAM, philox, uniform

ABSENT = -1e4  # decoded logit of a class that was not drawn: its probability is 0 at any temperature below 100


@dataclass(frozen=True, kw_only=True)
class TopK:
    """Encoding `topk`: the k largest logits, and the log-sum-exp of the others, so that their mass is kept too.

    values  [V, N, k]  float16: the k largest logits, descending
    classes [V, N, k]  the class of each of them, in the smallest unsigned dtype that fits (`id_dtype`)
    rest    [V, N]     float32: log(sum(exp(z))) over the other C - k logits z, computed in float32

    Each of the other classes is decoded to the same logit, `rest - log(C - k)`. So a decoded row is a proper
    distribution at every temperature, and no probability in it is negative.
    """

    k: int = 8
    name = "topk"
    feature_columns = 0

    def settings(self) -> dict[str, Any]:
        return {"k": self.k}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if not 1 <= self.k < classes:
            raise ValueError(f"topk keeps 1 to {classes - 1} of {classes} classes, got k {self.k}")
        ids, nan = id_dtype(classes), float("nan")
        none = np.iinfo(ids).max
        return (
            ArraySpec(name="values", dtype=np.dtype("float16"), row_shape=(self.k,), fill_value=nan),
            ArraySpec(name="classes", dtype=ids, row_shape=(self.k,), fill_value=none, class_count=classes),
            ArraySpec(name="rest", dtype=np.dtype("float32"), row_shape=(), fill_value=nan),
        )

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        largest = float(np.finfo(np.float16).max)
        if wrong := out_of_range(logits, -largest, largest):
            raise OutOfRangeError(f"{wrong}, all that topk holds; use the encoding float32")
        order = np.argsort(-logits, axis=1, kind="stable")  # of equal logits, the lower class first
        top, others = order[:, : self.k], np.take_along_axis(logits, order[:, self.k :], axis=1)
        highest = others.max(axis=1)
        rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
        return {
            "values": np.take_along_axis(logits, top, axis=1).astype(np.float16),
            "classes": top.astype(id_dtype(logits.shape[1])),
            "rest": rest.astype(np.float32),
        }

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        tail = parts["rest"] - self.share_of_rest(classes)
        logits = np.empty((len(tail), classes), np.float32)
        logits[...] = tail[:, None]
        place = parts["classes"] + np.arange(0, logits.size, classes)[:, None]
        logits.reshape(-1)[place] = parts["values"]
        return logits

    def share_of_rest(self, classes: int) -> np.float32:
        """Return log(C - k): what `rest` exceeds the logit of each of the other classes by."""
        return np.float32(np.log(classes - self.k))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Encoding `sample`: classes drawn at random from the teacher's distribution at temperature 1.

    classes [V, N, draws]  the classes that were drawn, ascending; a class that was drawn m times occurs m times

    This is random sampling knowledge distillation (arXiv 2503.16870). A class that was drawn m times is decoded to the
    logit `log(m / draws)`, and a class that was not drawn to `ABSENT`. The expectation of m / draws is the teacher's
    probability, so the decoded distribution is unbiased at temperature 1, but not at others. Draws are a pure function
    of (seed, sample, view).
    """

    draws: int = 50
    seed: int = 0
    name = "sample"
    feature_columns = 0

    def settings(self) -> dict[str, Any]:
        return {"draws": self.draws, "seed": self.seed}

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        if self.draws < 1:
            raise ValueError(f"sample needs at least one draw, got draws {self.draws}")
        ids = id_dtype(classes)
        none = np.iinfo(ids).max
        return (ArraySpec(name="classes", dtype=ids, row_shape=(self.draws,), fill_value=none, class_count=classes),)

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        rows, classes = logits.shape
        exact = logits.astype(np.float64)
        mass = np.exp(exact - exact.max(axis=1, keepdims=True)).cumsum(axis=1)
        cumulated = mass / mass[:, -1:]
        # one search serves all rows: the cumulated probabilities of row r are moved to (r, r + 1]
        row = np.arange(rows)[:, None]
        drawn = np.searchsorted(
            (cumulated + row).ravel(), (self._uniform(rows, view, first) + row).ravel(), side="right"
        )
        ids = np.minimum(drawn.reshape(rows, self.draws) - row * classes, classes - 1)
        return {"classes": np.sort(ids, axis=1).astype(id_dtype(classes))}

    def _uniform(self, rows: int, view: int, first: int) -> NDArray[np.float64]:
        """Return random numbers in [0, 1), `[rows, draws]` float64, for the samples from `first` on."""
        samples = np.arange(first, first + rows)
        blocks = [philox(self.seed, (samples, view, 0, SAMPLE_STREAM + b)) for b in range(-(-self.draws // 4))]
        return uniform(np.concatenate(blocks)[: self.draws].T)

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        ids = parts["classes"].astype(np.int64)
        flat = (ids + np.arange(len(ids))[:, None] * classes).ravel()
        counts = np.bincount(flat, minlength=len(ids) * classes).reshape(len(ids), classes)
        return self.logits_of_counts[counts]

    @cached_property
    def logits_of_counts(self) -> NDArray[np.float32]:
        """The logit of a class that was drawn 0 to `draws` times, `[draws + 1]` float32."""
        return np.append(ABSENT, np.log(np.arange(1, self.draws + 1) / self.draws)).astype(np.float32)
