"""Encoding by principal components: the logits of a teacher vary together, so that few coordinates tell most of a row.

Letters: V views, N samples, C classes, n rows of one block, r components, k classes of a row that are corrected.
"""

import base64
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.corrections import (
    LARGEST,
    MARGIN,
    add_corrections,
    codes_spec,
    correction_specs,
    corrections_of,
    missing_of_largest,
    require_corrected,
    require_range,
    require_step,
    step_for,
)
from kcd_stores.encodings.protocol import ArraySpec

MOST_COMPONENTS = 1024  # the sum of so many products of two codes is below 2**24
NOISE = 0.25  # of a step, over the variance of the first component that is left out
MOST_LOGIT = 1e9  # that a scale or a mean may be
PIECE_ROWS = 4096  # that are encoded at once
OVERSAMPLED, ITERATIONS = 16, 6  # of the subspace iteration


@dataclass(frozen=True, kw_only=True)
class PCA:
    """Encoding `pca`: a row's coordinates in the principal components of the teacher, and its k largest logits.

    codes       [V, N, r]  int8: the coordinate of the row in each component, in steps of that component
    classes     [V, N, k]  the classes of the k largest logits, ascending, in the smallest unsigned dtype that fits
    corrections [V, N, k]  int8: what these logits have more than the components give, in steps of `correction_step`

    With k 0, `codes` is the only array.

    The row is `means + scales * (codes @ weights)`, and `correction_step * corrections` more in `classes`. Weights and
    codes are whole numbers whose products add up to less than 2**24, so the sum is exact in float32, and equal on every
    device, in whatever order it is made. All C logits are there, so a decoded row is a proper distribution at every
    temperature.

    Principal components code correlated numbers with the least error for their bits (the Karhunen-Loève transform;
    Goyal 2001, "Theoretical foundations of transform coding", IEEE Signal Processing Magazine). As there, all
    components but the widest have the same step.

    Attributes
    ----------
    components, k
        r and k.
    correction_step
        The step of corrections, in logits.
    basis
        Base64 of weights `[r, C]` int8, scales `[C]` and means `[C]`, both little-endian float32, one after the other.
    """

    components: int
    k: int
    correction_step: float
    basis: str
    name = "pca"
    feature_columns = 0

    def settings(self) -> dict[str, Any]:
        return {
            "components": self.components,
            "k": self.k,
            "correction_step": self.correction_step,
            "basis": self.basis,
        }

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        require_counts(self.components, self.k, classes)
        require_step(self.correction_step, "pca")
        found, expected = len(self._bytes), classes * (self.components + 8)
        if found != expected:
            raise ValueError(f"pca has a basis of {expected} bytes for {classes} classes, got {found} bytes")
        _, scales, means = self.parts_of_basis
        if not (np.abs(scales) < MOST_LOGIT).all() or not (np.abs(means) < MOST_LOGIT).all():
            raise ValueError(f"pca has a basis with a scale or a mean that is not below {MOST_LOGIT:g}")
        return (codes_spec("codes", self.components), *correction_specs(self.k, classes))

    @cached_property
    def _bytes(self) -> bytes:
        return base64.b64decode(self.basis, validate=True)

    @cached_property
    def parts_of_basis(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Weights `[r, C]`, which are whole numbers, scales `[C]` and means `[C]`, float32."""
        size = len(self._bytes) // (self.components + 8) * self.components
        classes = size // self.components
        weights = np.frombuffer(self._bytes[:size], np.int8).reshape(self.components, classes)
        scales, means = np.frombuffer(self._bytes[size:], "<f4").reshape(2, classes)
        return weights.astype(np.float32), scales, means

    @cached_property
    def _projection(self) -> NDArray[np.float32]:
        """The coordinates of logits without their means are `logits @ projection`, `[C, r]`: least squares."""
        weights, scales, _ = self.parts_of_basis
        return np.linalg.pinv((weights * scales).astype(np.float64)).astype(np.float32)

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        pieces = [self._encode(logits, start) for start in range(0, len(logits), PIECE_ROWS)]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _encode(self, logits: NDArray[np.float32], start: int) -> dict[str, NDArray[Any]]:
        """Encode one piece of the rows, from `start` on."""
        piece = logits[start : start + PIECE_ROWS]
        codes, given = self._coordinates(piece)
        require_range(codes, "component", start, "pca")
        step = self.correction_step
        corrections = corrections_of(piece, given, k=self.k, step=step, start=start, name="pca")
        return {"codes": codes.astype(np.int8), **corrections}

    def _coordinates(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return coordinates `[n, r]` (whole numbers), and the logits `[n, C]` that they give."""
        weights, scales, means = self.parts_of_basis
        codes = np.rint((logits - means) @ self._projection)
        return codes, (codes @ weights) * scales + means

    def largest_miss(self, logits: NDArray[np.float32]) -> float:
        """Return the largest correction, in logits, that one of `logits[n, C]` needs; 0 if none is corrected."""
        _, given = self._coordinates(logits)
        _, missing = missing_of_largest(logits, given, self.k)
        return float(np.abs(missing).max(initial=0))

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        weights, scales, means = self.parts_of_basis
        logits = parts["codes"].astype(np.float32) @ weights
        logits *= scales
        logits += means
        add_corrections(logits, parts, self.correction_step)
        return logits


def require_counts(components: int, k: int, classes: int) -> None:
    """Raise ValueError unless a `pca` of that many classes can have `components` and `k`."""
    most = min(MOST_COMPONENTS, classes)
    if not 1 <= components <= most:
        raise ValueError(f"pca has 1 to {most} components of {classes} classes, got {components}")
    require_corrected(k, classes, "pca")


def fitted_pca(rows: NDArray[np.float32], *, components: int, k: int) -> PCA:
    """Return the encoding that fits `rows[n, C]`, some rows of the teacher.

    Corrections may be `MARGIN` times the largest of these rows, each half of which is measured by components of the
    other half too: of rows that they were fitted to, components miss less than of others.

    Raises
    ------
    ValueError
        If it cannot have these sizes, or there are fewer rows than components, or a logit is not finite.
    """
    require_counts(components, k, rows.shape[1])
    if components > len(rows):
        raise ValueError(
            f"pca needs at least as many rows as components, got {len(rows)} rows and {components} components"
        )
    if not np.isfinite(rows).all():
        raise ValueError("pca cannot be fitted to logits that are not finite")
    fitted = _rough_pca(rows, components, k)
    half, fewer = len(rows) // 2, min(components, len(rows) // 2)
    largest = fitted.largest_miss(rows)
    if fewer:
        for fit, others in ((rows[:half], rows[half:]), (rows[half:], rows[:half])):
            largest = max(largest, _rough_pca(fit, fewer, k).largest_miss(others))
    return replace(fitted, correction_step=step_for(largest))


def _rough_pca(rows: NDArray[np.float32], components: int, k: int) -> PCA:
    """Return the encoding whose components fit `rows[n, C]`, with a correction step of 1.

    The noise of a step (`step**2 / 12`) is a quarter of what leaving out the next component costs. A component so wide
    that 127 such steps do not reach `MARGIN` times its largest coordinate has a wider step.
    """
    means = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = rows - means
    directions = principal_directions(centred, min(components + 1, *rows.shape))
    coordinates = centred @ directions.T
    next_variance = float((coordinates[:, components:] ** 2).mean()) if len(directions) > components else 0.0
    steps = np.abs(coordinates[:, :components]).max(axis=0) * (MARGIN / LARGEST)
    steps = np.maximum(steps, max(np.sqrt(12 * NOISE * next_variance), 1e-6))
    wide = directions[:components] * steps[:, None]
    scales = np.maximum(np.abs(wide).max(axis=0) / LARGEST, 1e-12).astype("<f4")
    weights = np.rint(wide / scales).astype(np.int8)
    blob = weights.tobytes() + scales.tobytes() + means.astype("<f4").tobytes()
    return PCA(components=components, k=k, correction_step=1.0, basis=base64.b64encode(blob).decode())


def principal_directions(centred: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the `count` directions in which `centred[n, C]` varies most, `[count, C]`, orthonormal, the widest first.

    By subspace iteration from a fixed start (Halko, Martinsson and Tropp 2011, "Finding structure with randomness",
    SIAM Review, algorithm 4.4), which never makes a matrix of C x C.
    """
    width = min(count + OVERSAMPLED, *centred.shape)
    found = np.random.default_rng(0).standard_normal((centred.shape[1], width)).astype(np.float32)
    for _ in range(ITERATIONS):
        found, _ = np.linalg.qr(centred.T @ (centred @ found))
    _, _, turned = np.linalg.svd(centred @ found, full_matrices=False)
    return np.ascontiguousarray((found @ turned.T).T[:count])
