"""Corrections of the largest logits of a row, which encodings by components give only roughly.

    classes     [V, N, k]  the classes of the k largest logits, ascending, in the smallest unsigned dtype that fits
    corrections [V, N, k]  int8: what these logits have more than the components give, in steps

With k 0 there are no such arrays. Letters: V views, N samples, C classes, n rows, k classes of a row.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.protocol import ArraySpec, id_dtype
from kcd_stores.errors import OutOfRangeError

LARGEST = 127  # of a code; -128 stands for what was never written
MOST_SHUFFLED = 255  # bytes of an element that blosc can shuffle
MARGIN = 2  # how much larger than those of the trial coordinates, corrections and errors may be


def codes_spec(name: str, count: int) -> ArraySpec:
    """Return an array of `count` codes a row; those of the same place are compressed together, as they are alike."""
    return ArraySpec(
        name=name,
        dtype=np.dtype("int8"),
        row_shape=(count,),
        fill_value=-LARGEST - 1,
        shuffled_bytes=shuffled_together(count),
    )


def shuffled_together(count: int) -> int:
    """Return how many of the `count` bytes of a row blosc shuffles as one element."""
    return max(size for size in range(1, MOST_SHUFFLED + 1) if count % size == 0)


def correction_specs(k: int, classes: int) -> tuple[ArraySpec, ...]:
    """Return the arrays of k corrections a row."""
    if not k:
        return ()
    ids = id_dtype(classes)
    return (
        ArraySpec(name="classes", dtype=ids, row_shape=(k,), fill_value=np.iinfo(ids).max, class_count=classes),
        codes_spec("corrections", k),
    )


def missing_of_largest(
    logits: NDArray[np.float32], given: NDArray[np.float32], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the classes `[n, k]` of the largest `logits[n, C]`, and what `given[n, C]` misses of them `[n, k]`."""
    if not k:
        return np.empty((len(logits), 0), np.intp), np.empty((len(logits), 0), np.float32)
    order = np.argsort(-logits, axis=1, kind="stable")  # of equal logits, the lower class first
    top = np.sort(order[:, :k], axis=1)
    return top, np.take_along_axis(logits - given, top, axis=1)


def corrections_of(
    logits: NDArray[np.float32], given: NDArray[np.float32], *, k: int, step: float, start: int, name: str
) -> dict[str, NDArray[Any]]:
    """Return the elements of the arrays of corrections, of the rows `logits[n, C]` from `start` on.

    Raises
    ------
    OutOfRangeError
        If a correction is more than 127 steps.
    """
    if not k:
        return {}
    top, missing = missing_of_largest(logits, given, k)
    corrections = np.rint(missing / np.float32(step))
    require_range(corrections, "correction", start, name)
    return {"classes": top.astype(id_dtype(logits.shape[1])), "corrections": corrections.astype(np.int8)}


def add_corrections(logits: NDArray[np.float32], parts: Mapping[str, NDArray[Any]], step: float) -> None:
    """Add corrections to the `logits[n, C]` (contiguous) that components give, if `parts` have any."""
    if "corrections" not in parts:
        return
    place = parts["classes"] + np.arange(0, logits.size, logits.shape[1])[:, None]
    logits.reshape(-1)[place] += parts["corrections"] * np.float32(step)


def step_for(largest: float) -> float:
    """Return the step of corrections of which the trial needed one as large as `largest`, in logits."""
    return float(f"{max(largest, 1e-6) * MARGIN / LARGEST:.3g}")


def require_step(step: float, name: str) -> None:
    """Raise ValueError unless `step` is a length."""
    if not (np.isfinite(step) and step > 0):
        raise ValueError(f"{name} needs a correction_step above 0, got {step}")


def require_corrected(k: int, classes: int, name: str) -> None:
    """Raise ValueError unless so many classes of a row can be corrected."""
    if not 0 <= k < classes:
        raise ValueError(f"{name} corrects 0 to {classes - 1} of {classes} classes, got k {k}")


def require_range(codes: NDArray[np.float32], what: str, start: int, name: str) -> None:
    """Raise OutOfRangeError if one of the `codes[n, m]`, of the rows from `start` on, is not in -127 .. 127."""
    beyond = np.abs(codes) > LARGEST
    if beyond.any():
        row, place = np.argwhere(beyond)[0]
        raise OutOfRangeError(
            f"the logits of row {start + row} are unlike those that this {name} was fitted to: {what} {place} has "
            f"{codes[row, place]:g} steps, at most {LARGEST} are held, and nothing is clipped; use the encoding float16"
        )
