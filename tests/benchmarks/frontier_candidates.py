"""Ways to store logits that the benchmark of encodings tries beside those that the package has.

A candidate takes logits `[n, C]` float32, fitted to others if it needs to be, and gives a `Trial`: the bytes that a row
takes and the logits that are read back. Bytes are those behind the compressor of stores, by chunks of 0.5 to 1 MB of
rows in a random order, unless it is said otherwise: neighbours in a store are not views of one sample, as they are
here. Letters: n rows, C classes, k classes that are kept, v views of a sample.
"""

import ctypes
import ctypes.util
from dataclasses import dataclass

import numpy as np
from numcodecs.blosc import Blosc
from numpy.typing import NDArray

from kcd_stores import Encoding, choose_layout, fitted_pca

Logits = NDArray[np.float32]
PREFIX_BYTES = 4  # of a crc32c


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One way to store logits, tried: its family, its settings in words, bytes a row, and the logits read back."""

    family: str
    settings: str
    row_bytes: float
    logits: Logits


def stored_bytes(part: NDArray[np.generic], shuffled: int | None = None) -> float:
    """Return the bytes a row of `part[n, ...]` in a store: chunks of 0.5 to 1 MB by blosc and zstd, and a checksum."""
    order = np.random.default_rng(0).permutation(len(part))
    flat = np.ascontiguousarray(part[order]).reshape(len(part), -1)
    size = shuffled or part.dtype.itemsize
    rows = choose_layout(views=1, samples=len(flat), classes=1, row_bytes=flat[0].nbytes, block_rows=1 << 20).chunk_rows
    shuffle = Blosc.SHUFFLE if size > 1 else Blosc.NOSHUFFLE
    total = 0
    for start in range(0, len(flat), rows):
        data = flat[start : start + rows].tobytes()
        codec = Blosc(cname="zstd", clevel=1, shuffle=shuffle, blocksize=len(data), typesize=size)
        total += len(codec.encode(data)) + PREFIX_BYTES
    return total / len(flat)


def of_package(family: str, settings: str, encoding: Encoding, rows: Logits) -> Trial:
    """Try an encoding of the package."""
    classes = rows.shape[1]
    parts = encoding.encode(rows, view=0, first=0)
    size = sum(stored_bytes(parts[spec.name], spec.shuffled_bytes) for spec in encoding.arrays(classes))
    decoded = encoding.decode(parts, classes)
    return Trial(family=family, settings=settings, row_bytes=size, logits=decoded.astype(np.float32))


def even_steps(rows: Logits, step: float) -> Trial:
    """Round to multiples of `step`, as int8 does, but with a step that is chosen."""
    codes = np.rint(rows / step).astype(np.int8)
    return Trial(
        family="even steps", settings=f"{step}", row_bytes=stored_bytes(codes), logits=codes * np.float32(step)
    )


def of_own_range(rows: Logits, bits: int) -> Trial:
    """Round to even steps between the lowest and the highest logit of each row, with two float16 a row for them."""
    low = rows.min(axis=1, keepdims=True).astype(np.float16).astype(np.float32)
    step = ((rows.max(axis=1, keepdims=True) - low) / (2**bits - 1)).astype(np.float16).astype(np.float32)
    codes = np.clip(np.rint((rows - low) / step), 0, 2**bits - 1).astype(np.uint8)
    unpacked = np.unpackbits(codes[:, :, None], axis=2)[:, :, 8 - bits :].reshape(len(rows), -1)
    size = min(stored_bytes(codes), stored_bytes(np.packbits(unpacked, axis=1))) + 4
    return Trial(family="row's own range", settings=f"{bits} bits", row_bytes=size, logits=low + codes * step)


def largest(rows: Logits, k: int) -> tuple[NDArray[np.intp], Logits, Logits]:
    """Return the classes of the k largest logits `[n, k]`, ascending, these logits `[n, k]`, and the rest `[n]`.

    The rest is the log-sum-exp of the other logits.
    """
    classes = np.sort(np.argsort(-rows, axis=1, kind="stable")[:, :k], axis=1)
    others = rows.astype(np.float64)
    np.put_along_axis(others, classes, -np.inf, axis=1)
    top = others.max(axis=1)
    rest = top + np.log(np.exp(others - top[:, None]).sum(axis=1))
    return classes, np.take_along_axis(rows, classes, axis=1), rest.astype(np.float32)


def packed_top(rows: Logits, k: int, bits: int) -> Trial:
    """Keep k logits in 2**bits steps of their range in the row; ascending classes as differences; the rest evenly."""
    classes, values, rest = largest(rows, k)
    low = values.min(axis=1, keepdims=True)
    step = np.maximum((values.max(axis=1, keepdims=True) - low) / (2**bits - 1), 1e-6)
    codes = np.rint((values - low) / step).astype(np.uint8)
    gaps = np.diff(classes, axis=1, prepend=0).astype(np.uint16)
    size = stored_bytes(gaps, 2 * k if 2 * k < 256 else None) + min(stored_bytes(codes), k * bits / 8) + 6
    logits = np.repeat((rest - np.log(rows.shape[1] - k))[:, None], rows.shape[1], axis=1)
    np.put_along_axis(logits, classes, low + codes * step, axis=1)
    return Trial(family="top-k packed", settings=f"k={k}, {bits} bits", row_bytes=size, logits=logits)


def by_mass(rows: Logits, mass: float) -> Trial:
    """Keep as many classes as have that much of a row's probability, 10 bits an id and 8 bits a value; the rest evenly.

    The bytes are those bits, and 6 for the range and the rest: a row of its own length, not compressed.
    """
    order = np.argsort(-rows, axis=1, kind="stable")
    p = np.exp(rows - rows.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    kept = (np.take_along_axis(p, order, axis=1).cumsum(axis=1) < mass).sum(axis=1) + 1
    kept = np.minimum(kept, rows.shape[1] - 1)
    place = np.argsort(order, axis=1)
    chosen = place < kept[:, None]
    tail = np.where(chosen, 0, p).sum(axis=1) / (rows.shape[1] - kept)
    logits = np.where(chosen, rows, np.log(tail + 1e-30)[:, None] + _log_mass(rows)[:, None])
    size = float((kept * 18 / 8).mean()) + 6
    return Trial(family="top by mass", settings=f"{mass}", row_bytes=size, logits=logits.astype(np.float32))


def _log_mass(rows: Logits) -> NDArray[np.float32]:
    top = rows.max(axis=1)
    return top + np.log(np.exp(rows - top[:, None]).sum(axis=1))


def fitted_curve(rows: Logits, k: int, exact: int = 4, terms: int = 4) -> Trial:
    """Keep the order of the k largest, and of their logits a curve over the rank, as DistillKit does.

    The first `exact` are float16, the others a polynomial in the logarithm of the rank with `terms` float16 numbers;
    ids take 10 bits each, in order. The rest is spread evenly.
    """
    order = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(rows, order, axis=1)
    powers = np.log(np.arange(exact, k) + 1.0)[:, None] ** np.arange(terms)
    fit = np.linalg.pinv(powers)
    curve = values[:, exact:] @ fit.T @ powers.T
    _, _, rest = largest(rows, k)
    logits = np.repeat((rest - np.log(rows.shape[1] - k))[:, None], rows.shape[1], axis=1)
    np.put_along_axis(logits, order, np.concatenate([values[:, :exact], curve], axis=1).astype(np.float32), axis=1)
    size = k * 10 / 8 + 2 * (exact + terms) + 4
    return Trial(family="fitted curve", settings=f"k={k}", row_bytes=size, logits=logits)


def with_dictionary(rows: Logits, fitted: Logits, step: float) -> Trial:
    """Round to multiples of `step`; compress each row alone, by zstd with a dictionary of 112 kB from other rows."""
    zstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
    for name in ("ZDICT_trainFromBuffer", "ZSTD_compress_usingDict", "ZSTD_createCCtx"):
        getattr(zstd, name).restype = ctypes.c_void_p if name == "ZSTD_createCCtx" else ctypes.c_size_t
    pieces = np.rint(fitted / step).astype(np.int8)
    sizes = (ctypes.c_size_t * len(pieces))(*[pieces.shape[1]] * len(pieces))
    room = ctypes.create_string_buffer(112 << 10)
    used = zstd.ZDICT_trainFromBuffer(room, ctypes.c_size_t(len(room)), pieces.tobytes(), sizes, len(pieces))
    context, out = ctypes.c_void_p(zstd.ZSTD_createCCtx()), ctypes.create_string_buffer(2 * rows.shape[1] + 512)
    codes, total = np.rint(rows / step).astype(np.int8), 0
    for row in codes:
        data = row.tobytes()
        total += zstd.ZSTD_compress_usingDict(
            context, out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)), room, ctypes.c_size_t(used), 3
        )
    size = total / len(rows)
    return Trial(family="zstd with a dictionary", settings=f"{step}", row_bytes=size, logits=codes * np.float32(step))


def beside_mean_view(views: Logits, step: float) -> Trial:
    """Round what a view differs from the mean of its sample's views; the mean is kept once, in steps of a quarter.

    `views` is `[samples, v, C]`.
    """
    mean = np.rint(views.mean(axis=1, keepdims=True) / 0.25) * np.float32(0.25)
    codes = np.rint((views - mean) / step).astype(np.int8)
    count, classes = views.shape[1:]
    size = stored_bytes(codes.reshape(-1, classes)) + stored_bytes((mean[:, 0] / 0.25).astype(np.int8)) / count
    logits = (mean + codes * np.float32(step)).reshape(-1, classes)
    return Trial(family="beside the mean view", settings=f"{step}", row_bytes=size, logits=logits)


def components_beside_mean_view(views: Logits, fitted: Logits, known: Logits, components: int, k: int) -> Trial:
    """Keep principal components of the mean view, once a sample, and others of what each view differs from it.

    `views` is `[samples, v, C]`. Components of means are fitted to `fitted[n, C]`, those of differences to the views of
    other samples, `known[samples, v, C]`. The k largest logits of each view are corrected in 8 bits.
    """
    count, classes = views.shape[1:]
    base = of_package("", "", fitted_pca(fitted, components=192, k=16), views.mean(axis=1))
    differences = known - known.mean(axis=1, keepdims=True)
    encoding = fitted_pca(differences.reshape(-1, classes), components=components, k=1)
    parts = encoding.encode((views - base.logits[:, None]).reshape(-1, classes), view=0, first=0)
    logits = encoding.decode({**parts, "corrections": 0 * parts["corrections"]}, classes)
    logits = (logits.reshape(views.shape) + base.logits[:, None]).reshape(-1, classes)
    top, values, _ = largest(views.reshape(-1, classes), k)
    missing = values - np.take_along_axis(logits, top, axis=1)
    step = np.abs(missing).max() / 127
    codes = np.rint(missing / step).astype(np.int8)
    np.put_along_axis(logits, top, np.take_along_axis(logits, top, axis=1) + codes * np.float32(step), axis=1)
    size = stored_bytes(parts["codes"], components) + stored_bytes(top.astype(np.uint16)) + stored_bytes(codes, k)
    settings = f"{components}, k={k}"
    return Trial(
        family="pca beside the mean view", settings=settings, row_bytes=size + base.row_bytes / count, logits=logits
    )
