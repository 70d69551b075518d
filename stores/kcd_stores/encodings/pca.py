"""Encoding by principal components: the logits of a teacher vary together, so that few coordinates tell most of a row.

Letters: V views, N samples, C classes, n rows of one block, r components, k classes of a row that are corrected.
"""

import base64
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.protocol import ArraySpec, id_dtype
from kcd_stores.errors import OutOfRangeError

MOST_COMPONENTS = 1024  # the sum of so many products of two codes is below 2**24
MOST_SHUFFLED = 255  # bytes of an element that blosc can shuffle
LARGEST = 127  # of a code; -128 stands for what was never written
MARGIN = 2  # how much larger than those of the trial coordinates and corrections may be
PIECE_ROWS = 4096  # that are encoded at once
OVERSAMPLED, ITERATIONS = 16, 6  # of the subspace iteration


@dataclass(frozen=True, kw_only=True)
class PCA:
    """Encoding `pca`: a row's coordinates in the principal components of the teacher, and its k largest logits.

    codes       [V, N, r]  int8: the coordinate of the row in each component, in steps of that component
    classes     [V, N, k]  the classes of the k largest logits, ascending, in the smallest unsigned dtype that fits
    corrections [V, N, k]  int8: what these logits have more than the components give, in steps of `correction_step`

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
        if not (np.isfinite(self.correction_step) and self.correction_step > 0):
            raise ValueError(f"pca needs a correction_step above 0, got {self.correction_step}")
        found, expected = len(self._bytes), classes * (self.components + 8)
        if found != expected:
            raise ValueError(f"pca has a basis of {expected} bytes for {classes} classes, got {found} bytes")
        ids = id_dtype(classes)
        return (
            codes_spec("codes", self.components),
            ArraySpec(
                name="classes",
                dtype=ids,
                row_shape=(self.k,),
                fill_value=np.iinfo(ids).max,
                class_count=classes,
            ),
            codes_spec("corrections", self.k),
        )

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
        pieces = [self._encode(logits[start : start + PIECE_ROWS]) for start in range(0, len(logits), PIECE_ROWS)]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _encode(self, logits: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        codes, top, missing = self._coordinates(logits)
        require_range(codes, "component")
        corrections = np.rint(missing / np.float32(self.correction_step))
        require_range(corrections, "correction")
        return {
            "codes": codes.astype(np.int8),
            "classes": top.astype(id_dtype(logits.shape[1])),
            "corrections": corrections.astype(np.int8),
        }

    def _coordinates(
        self, logits: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float32]]:
        """Return coordinates `[n, r]` (whole numbers), top classes `[n, k]`, and what these miss in each `[n, k]`."""
        weights, scales, means = self.parts_of_basis
        codes = np.rint((logits - means) @ self._projection)
        order = np.argsort(-logits, axis=1, kind="stable")  # of equal logits, the lower class first
        top = np.sort(order[:, : self.k], axis=1)
        given = (codes @ weights) * scales + means
        return codes, top, np.take_along_axis(logits - given, top, axis=1)

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        weights, scales, means = self.parts_of_basis
        logits = parts["codes"].astype(np.float32) @ weights
        logits *= scales
        logits += means
        place = parts["classes"] + np.arange(0, logits.size, classes)[:, None]
        logits.reshape(-1)[place] += parts["corrections"] * np.float32(self.correction_step)
        return logits


def codes_spec(name: str, count: int) -> ArraySpec:
    """Return an array of `count` codes a row; those of the same place are compressed together, as they are alike."""
    return ArraySpec(
        name=name,
        dtype=np.dtype("int8"),
        row_shape=(count,),
        fill_value=-LARGEST - 1,
        shuffled_bytes=count if count <= MOST_SHUFFLED else 1,
    )


def require_counts(components: int, k: int, classes: int) -> None:
    """Raise ValueError unless a `pca` of that many classes can have `components` and `k`."""
    most = min(MOST_COMPONENTS, classes)
    if not 1 <= components <= most:
        raise ValueError(f"pca has 1 to {most} components of {classes} classes, got {components}")
    if not 1 <= k < classes:
        raise ValueError(f"pca corrects 1 to {classes - 1} of {classes} classes, got k {k}")


def require_range(codes: NDArray[np.float32], what: str) -> None:
    """Raise OutOfRangeError if one of the `codes[n, m]` is not in -127 .. 127."""
    beyond = np.abs(codes) > LARGEST
    if beyond.any():
        row, place = np.argwhere(beyond)[0]
        raise OutOfRangeError(
            f"the logits of row {row} are unlike those that this pca encoding was fitted to: {what} {place} has "
            f"{codes[row, place]:g} steps, at most {LARGEST} are held, and nothing is clipped; use the encoding float16"
        )


def fitted_pca(rows: NDArray[np.float32], *, components: int, k: int) -> PCA:
    """Return the encoding that fits `rows[n, C]`, some rows of the teacher.

    The noise of a step (`step**2 / 12`) is a quarter of what leaving out the next component costs. A component so wide
    that 127 such steps do not reach `MARGIN` times its largest coordinate has a wider step.

    Raises
    ------
    ValueError
        If it cannot have these sizes, or there are fewer rows than components.
    """
    count, classes = rows.shape
    require_counts(components, k, classes)
    if components > count:
        raise ValueError(f"pca needs at least as many rows as components, got {count} rows and {components} components")
    means = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = rows - means
    directions = principal_directions(centred, min(components + 1, classes))
    coordinates = centred @ directions.T
    next_variance = float((coordinates[:, components:] ** 2).mean()) if components < classes else 0.0
    steps = np.abs(coordinates[:, :components]).max(axis=0) * (MARGIN / LARGEST)
    steps = np.maximum(steps, max(np.sqrt(3 * next_variance), 1e-6))
    wide = directions[:components] * steps[:, None]
    scales = np.maximum(np.abs(wide).max(axis=0) / LARGEST, 1e-12).astype("<f4")
    weights = np.rint(wide / scales).astype(np.int8)
    blob = weights.tobytes() + scales.tobytes() + means.astype("<f4").tobytes()
    rough = PCA(components=components, k=k, correction_step=1.0, basis=base64.b64encode(blob).decode())
    _, _, missing = rough._coordinates(rows)
    step = max(float(np.abs(missing).max()), 1e-6) * MARGIN / LARGEST
    return replace(rough, correction_step=float(f"{step:.3g}"))


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
