"""Encoding by product quantisation: each byte of a row names a codeword for some of its principal components.

Letters: V views, N samples, C classes, n rows of one block, r components, b bytes, k classes of a row that are
corrected.
"""

import base64
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings.corrections import (
    LARGEST,
    MARGIN,
    add_corrections,
    correction_specs,
    corrections_of,
    missing_of_largest,
    require_corrected,
    require_step,
    shuffled_together,
    step_for,
)
from kcd_stores.encodings.pca import MOST_COMPONENTS, MOST_LOGIT, principal_directions
from kcd_stores.encodings.protocol import ArraySpec
from kcd_stores.errors import OutOfRangeError

CODEWORDS = 255  # of a byte; the value 255 stands for what was never written
TEMPERATURE = 4.0  # at which errors are weighed, as most students are taught at it
LEAST_BITS = 0.2  # that a component is worth; others are left out
DAMPING = 0.5  # of the step from least squares towards the least divergence
RIDGE = 1e-3  # over the mean of the diagonal: a constant added to a row has no curvature
ROUNDS = 10  # of k-means
PIECE_ROWS = 1024  # that are encoded at once, in about six times the memory of their logits

Real = TypeVar("Real", bound=np.floating[Any])


@dataclass(frozen=True, kw_only=True)
class PQ:
    """Encoding `pq`: bytes that name codewords of the teacher's principal components, and k largest logits.

    codes       [V, N, b]  uint8: the codeword, 0 .. 254, of each group of components
    classes     [V, N, k]  the classes of the k largest logits, ascending, in the smallest unsigned dtype that fits
    corrections [V, N, k]  int8: what these logits have more than the components give, in steps of `correction_step`

    With k 0, `codes` is the only array. A codeword gives the coordinates of its group, so that a row has r coordinates,
    which are whole numbers. The row is `means + scales * (coordinates @ weights)`, exact in float32 and proper at every
    temperature, as it is with `pca`.

    A byte that stands for several numbers at once spends less than a bit on each where that is enough, which a
    compressor of single numbers cannot (Jégou, Douze and Schmid 2011, "Product quantization for nearest neighbor
    search", IEEE TPAMI). Groups are worth as many bits each, by reverse water-filling over the variances of components.

    Errors are weighed by `(softmax(means / 4) + 1 / C) / 2`, near half of the second order of the divergence at T = 4.
    Of the nearest codewords of two points, least squares and a step from there towards the least divergence, a row has
    those of the smaller divergence at T = 4.

    Attributes
    ----------
    code_bytes, components, k
        b, r and k.
    correction_step
        The step of corrections, in logits.
    largest_error
        The largest error that a row may have: the root of the weighted mean of squares, in logits, uncorrected.
    basis
        Base64 of, one after the other: the numbers of components of the groups `[b]` little-endian uint16, codewords
        `[255, r]` int8, weights `[r, C]` int8, scales `[C]` and means `[C]`, both little-endian float32.
    """

    code_bytes: int
    components: int
    k: int
    correction_step: float
    largest_error: float
    basis: str
    name = "pq"
    feature_columns = 0

    def settings(self) -> dict[str, Any]:
        return {
            "code_bytes": self.code_bytes,
            "components": self.components,
            "k": self.k,
            "correction_step": self.correction_step,
            "largest_error": self.largest_error,
            "basis": self.basis,
        }

    def arrays(self, classes: int) -> tuple[ArraySpec, ...]:
        require_code_bytes(self.code_bytes, self.k, classes)
        if not self.code_bytes <= self.components <= min(MOST_COMPONENTS, classes):
            raise ValueError(
                f"pq has {self.code_bytes} to {min(MOST_COMPONENTS, classes)} components for {self.code_bytes} bytes "
                f"and {classes} classes, got {self.components}"
            )
        require_step(self.correction_step, "pq")
        if not (np.isfinite(self.largest_error) and self.largest_error > 0):
            raise ValueError(f"pq needs a largest_error above 0, got {self.largest_error}")
        found = len(self._bytes)
        expected = 2 * self.code_bytes + CODEWORDS * self.components + classes * (self.components + 8)
        if found != expected:
            raise ValueError(f"pq has a basis of {expected} bytes for {classes} classes, got {found} bytes")
        sizes, _, _, scales, means = self.parts_of_basis
        if sizes.min() < 1 or sizes.sum() != self.components:
            raise ValueError(f"pq has a basis whose groups do not have {self.components} components")
        if not (np.abs(scales) < MOST_LOGIT).all() or not (np.abs(means) < MOST_LOGIT).all():
            raise ValueError(f"pq has a basis with a scale or a mean that is not below {MOST_LOGIT:g}")
        codes = ArraySpec(
            name="codes",
            dtype=np.dtype("uint8"),
            row_shape=(self.code_bytes,),
            fill_value=CODEWORDS,
            class_count=CODEWORDS,
            shuffled_bytes=shuffled_together(self.code_bytes),
        )
        return (codes, *correction_specs(self.k, classes))

    @cached_property
    def _bytes(self) -> bytes:
        return base64.b64decode(self.basis, validate=True)

    @cached_property
    def parts_of_basis(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Sizes of groups `[b]`, codewords `[255, r]` and weights `[r, C]`, whole numbers; scales and means `[C]`."""
        blob, r = self._bytes, self.components
        first, second = 2 * self.code_bytes, 2 * self.code_bytes + CODEWORDS * r
        classes = (len(blob) - second) // (r + 8)
        third = second + r * classes
        sizes = np.frombuffer(blob[:first], "<u2").astype(np.int64)
        codewords = np.frombuffer(blob[first:second], np.int8).reshape(CODEWORDS, r)
        weights = np.frombuffer(blob[second:third], np.int8).reshape(r, classes)
        scales, means = np.frombuffer(blob[third:], "<f4").reshape(2, classes)
        return sizes, codewords.astype(np.float32), weights.astype(np.float32), scales, means

    @cached_property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The byte `[r]` that each component belongs to, and the component `[r]`: where codewords are looked up."""
        sizes = self.parts_of_basis[0]
        return np.repeat(np.arange(self.code_bytes), sizes), np.arange(self.components)

    @cached_property
    def _groups(self) -> list[NDArray[np.float32]]:
        """The codewords `[255, d]` of each byte."""
        sizes, codewords, _, _, _ = self.parts_of_basis
        return [np.ascontiguousarray(group) for group in np.split(codewords, np.cumsum(sizes)[:-1], axis=1)]

    @cached_property
    def _class_weights(self) -> NDArray[np.float64]:
        return class_weights(self.parts_of_basis[4])

    @cached_property
    def _projections(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """From logits without means to coordinates `[C, r]`; from `p - q` to a step `[C, r]`; lengths `[r]`."""
        _, _, weights, scales, _ = self.parts_of_basis
        shares = self._class_weights
        wide = (weights * scales).astype(np.float64)
        roots = np.sqrt(shares)
        least_squares = roots[:, None] * np.linalg.pinv(wide * roots)
        centre = wide @ shares
        curvature = (wide * shares) @ wide.T - np.outer(centre, centre)
        curvature += np.eye(len(wide)) * max(RIDGE * np.trace(curvature) / len(wide), 1e-12)
        step = TEMPERATURE * DAMPING * np.linalg.solve(curvature, wide).T
        lengths = np.sqrt((wide**2 * shares).sum(axis=1))
        return least_squares.astype(np.float32), step.astype(np.float32), lengths.astype(np.float32)

    def encode(self, logits: NDArray[np.float32], /, *, view: int, first: int) -> dict[str, NDArray[Any]]:
        starts = range(0, len(logits), PIECE_ROWS)
        pieces = [self._encode(logits[start : start + PIECE_ROWS], start) for start in starts]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _encode(self, logits: NDArray[np.float32], start: int) -> dict[str, NDArray[Any]]:
        """Encode one piece of the rows, from `start` on."""
        codes, given = self._nearest(logits)
        errors = self._errors(logits, given)
        if (beyond := ~(errors <= self.largest_error)).any():
            row = int(np.flatnonzero(beyond)[0])
            raise OutOfRangeError(
                f"the logits of row {start + row} are unlike those that this pq was fitted to: they would be "
                f"{errors[row]:.3g} from what is stored, in the root of the mean square, and {self.largest_error:g} is "
                f"the limit; use the encoding float16"
            )
        step = self.correction_step
        return {"codes": codes, **corrections_of(logits, given, k=self.k, step=step, start=start, name="pq")}

    def _nearest(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the codewords `[n, b]` of rows, and the logits `[n, C]` that they give."""
        _, _, weights, scales, means = self.parts_of_basis
        least_squares, towards, _ = self._projections
        teacher = softmax(logits)
        coordinates = np.matmul(logits - means, least_squares, dtype=np.float32)
        near: NDArray[np.float32] = (coordinates @ weights) * scales + means
        moved = coordinates + np.matmul(teacher - softmax(near), towards, dtype=np.float32)
        codes, others = self._codewords_near(coordinates), self._codewords_near(moved)
        given, by_others = self._logits(codes), self._logits(others)
        better = cross_entropy(teacher, by_others) < cross_entropy(teacher, given)
        codes[better] = others[better]
        given[better] = by_others[better]
        return codes, given

    def _codewords_near(self, coordinates: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the codewords `[n, b]` that are nearest to `coordinates[n, r]`."""
        _, _, lengths = self._projections
        names, start = np.empty((len(coordinates), self.code_bytes), np.uint8), 0
        for place, group in enumerate(self._groups):
            own = slice(start, start + group.shape[1])
            names[:, place] = nearest(coordinates[:, own] * lengths[own], group * lengths[own])
            start = own.stop
        return names

    def _errors(self, logits: NDArray[np.float32], given: NDArray[np.float32]) -> NDArray[np.float32]:
        shares = self._class_weights.astype(np.float32)
        errors: NDArray[np.float32] = np.sqrt(((logits - given) ** 2) @ shares)
        return errors

    def largest_misses(self, logits: NDArray[np.float32]) -> tuple[float, float]:
        """Return the largest error and the largest correction, in logits, that one of `logits[n, C]` needs."""
        error = correction = 0.0
        for start in range(0, len(logits), PIECE_ROWS):
            piece = logits[start : start + PIECE_ROWS]
            _, given = self._nearest(piece)
            _, missing = missing_of_largest(piece, given, self.k)
            error = max(error, float(self._errors(piece, given).max()))
            correction = max(correction, float(np.abs(missing).max(initial=0)))
        return error, correction

    def _logits(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits `[n, C]` that codewords `[n, b]` give."""
        _, _, weights, scales, means = self.parts_of_basis
        coordinates = [group.take(codes[:, place], axis=0) for place, group in enumerate(self._groups)]
        logits: NDArray[np.float32] = np.concatenate(coordinates, axis=1) @ weights
        logits *= scales
        logits += means
        return logits

    def decode(self, parts: dict[str, NDArray[Any]], classes: int) -> NDArray[Any]:
        logits = self._logits(parts["codes"])
        add_corrections(logits, parts, self.correction_step)
        return logits


def class_weights(means: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how much an error of each class counts `[C]`, of a teacher with these mean logits; they add up to 1."""
    return (softmax(means[None].astype(np.float64))[0] + 1 / len(means)) / 2


def softmax(logits: NDArray[Real]) -> NDArray[Real]:
    """Return the distributions of `logits[n, C]` at T = 4."""
    scaled = logits / logits.dtype.type(TEMPERATURE)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def cross_entropy(teacher: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `[n]`: KL(teacher || stored) at T = 4, with the entropy of the distributions `teacher[n, C]`."""
    scaled = logits / np.float32(TEMPERATURE)
    scaled -= scaled.max(axis=1, keepdims=True)
    found: NDArray[np.float32] = np.log(np.exp(scaled).sum(axis=1)) - np.einsum("nc,nc->n", teacher, scaled)
    return found


def nearest(points: NDArray[np.float32], codewords: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the number `[n]` of the codeword nearest to each of `points[n, d]`; of equal ones, the first."""
    return np.argmin((codewords**2).sum(axis=1) / 2 - points @ codewords.T, axis=1)


def require_code_bytes(code_bytes: int, k: int, classes: int) -> None:
    """Raise ValueError unless a `pq` of that many classes can have `code_bytes` and `k`."""
    most = min(MOST_COMPONENTS, classes)
    if not 1 <= code_bytes <= most:
        raise ValueError(f"pq has 1 to {most} bytes for {classes} classes, got {code_bytes}")
    require_corrected(k, classes, "pq")


def fitted_pq(rows: NDArray[np.float32], *, code_bytes: int, k: int) -> PQ:
    """Return the encoding that fits `rows[n, C]`, some rows of the teacher.

    Errors and corrections may be `MARGIN` times the largest of these rows, which half of them are also measured for
    by what was fitted to the other half: of rows that codewords were fitted to, they miss less than of others.

    Raises
    ------
    ValueError
        If it cannot have these sizes, or there are fewer rows than two for each byte, or a logit is not finite.
    """
    require_code_bytes(code_bytes, k, rows.shape[1])
    half = len(rows) // 2
    if code_bytes > half:
        raise ValueError(f"pq needs at least two rows for each byte, got {len(rows)} rows and {code_bytes} bytes")
    if not np.isfinite(rows).all():
        raise ValueError("pq cannot be fitted to logits that are not finite")
    fitted = _rough_pq(rows, code_bytes, k)
    misses = fitted.largest_misses(rows), _rough_pq(rows[:half], code_bytes, k).largest_misses(rows[half:])
    error, missing = (max(values) for values in zip(*misses, strict=True))
    return replace(fitted, correction_step=step_for(missing), largest_error=float(f"{max(error, 1e-6) * MARGIN:.3g}"))


def _rough_pq(rows: NDArray[np.float32], code_bytes: int, k: int) -> PQ:
    """Return the encoding whose codewords fit `rows[n, C]`, with a correction step and a largest error of 1."""
    means = rows.mean(axis=0, dtype=np.float64).astype("<f4")
    roots = np.sqrt(class_weights(means)).astype(np.float32)
    weighed = (rows - means) * roots
    most = min(MOST_COMPONENTS, 8 * code_bytes + 32, *rows.shape)
    directions = principal_directions(weighed, most)
    coordinates = weighed @ directions.T
    sizes = group_sizes((coordinates**2).mean(axis=0, dtype=np.float64), code_bytes)
    components = int(sizes.sum())
    groups = np.split(coordinates[:, :components], np.cumsum(sizes)[:-1], axis=1)
    codewords = np.concatenate([k_means(np.ascontiguousarray(group)) for group in groups], axis=1)
    largest = np.maximum(np.abs(codewords).max(axis=0), 1e-6)
    steps = np.sqrt(largest * largest.max()) / LARGEST  # codewords and weights share what is lost by rounding
    wide = directions[:components] / roots * steps[:, None]
    scales = np.maximum(np.abs(wide).max(axis=0) / LARGEST, 1e-12).astype("<f4")
    whole = np.rint(codewords / steps).astype(np.int8), np.rint(wide / scales).astype(np.int8)
    blob = sizes.astype("<u2").tobytes() + b"".join(part.tobytes() for part in (*whole, scales, means))
    basis = base64.b64encode(blob).decode()
    return PQ(code_bytes=code_bytes, components=components, k=k, correction_step=1.0, largest_error=1.0, basis=basis)


def group_sizes(variances: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the sizes of `count` groups of neighbouring components that are worth as many bits each.

    A component of variance s is worth `log2(s / level) / 2` bits, if it is above the level, at which all are worth 8
    bits for each group (reverse water-filling). Those that are worth less than `LEAST_BITS` are left out.
    """
    heights = np.log2(np.maximum(variances, 1e-12))
    low, high = heights.min() - 16 * count, heights.max()
    for _ in range(100):
        level = (low + high) / 2
        bits = np.maximum((heights - level) / 2, 0)
        low, high = (level, high) if bits.sum() > 8 * count else (low, level)
    kept = max(int((bits >= LEAST_BITS).sum()), count)
    reached = np.cumsum(np.maximum(bits[:kept], 1e-6))
    stops = np.searchsorted(reached, reached[-1] * np.arange(1, count) / count) + 1
    stops = np.concatenate([[0], stops, [kept]])
    for group in range(1, count):  # none is empty
        stops[group] = min(max(stops[group], stops[group - 1] + 1), kept - count + group)
    return np.diff(stops)


def k_means(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return codewords `[255, d]` near which `points[n, d]` lie, by Lloyd's algorithm from a fixed start."""
    chosen = np.random.default_rng(0).permutation(len(points))
    codewords = points[np.resize(chosen, CODEWORDS)]
    for _ in range(ROUNDS):
        names = nearest(points, codewords)
        counts = np.bincount(names, minlength=CODEWORDS)[:, None]
        sums = np.stack([np.bincount(names, column, CODEWORDS) for column in points.T], axis=1)
        codewords = np.where(counts > 0, sums / np.maximum(counts, 1), codewords).astype(np.float32)
    return codewords
