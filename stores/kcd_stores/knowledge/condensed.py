"""The arrays that a store of a condensed set has besides: the sample of each row, and the sample blended into it.

    samples [K]  int64: the sample of the data set that row k of every view belongs to, ascending
    partner [K]  int64: the sample whose row was blended into row k, -1 if none was
    epsilon [K]  float32: the strength of that blend, 0 if there was none
    weight  [K]  float32: the factor of the sample's loss, which whoever learns from the store applies; only there if
                 the plan weighed its samples

Its `made_from` has an entry `condensed`, which names the run and the plan; in it `rows_sha256` is the digest of these
arrays, and `weighted` says that there are weights. No other store has these arrays or this entry. Everything else is as
in any knowledge store, with N = K.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import MemoryStore

from kcd_stores.errors import CorruptStoreError, IncompleteStoreError, Remedy
from kcd_stores.knowledge.arrays import METADATA, document, require_metadata
from kcd_stores.knowledge.records import with_checksum, without_checksum
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.knowledge.writer import KnowledgeWriter

CONDENSED_KEY = "condensed"  # in `made_from`
DIGEST_KEY, WEIGHTED_KEY = "rows_sha256", "weighted"  # in that
# name, dtype, and fill value, which cannot be data
ALWAYS = (("epsilon", "<f4", float("nan")), ("partner", "<i8", -2), ("samples", "<i8", -1))
ARRAYS = (*ALWAYS, ("weight", "<f4", float("nan")))


@dataclass(frozen=True, kw_only=True, eq=False)
class CondensedRows:
    """The arrays `[K]` of a condensed set, as described above; ValueError is raised if they cannot be that.

    `weight` is None if all weights are 1.
    """

    samples: NDArray[np.int64]
    partner: NDArray[np.int64]
    epsilon: NDArray[np.float32]
    weight: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        shapes = [getattr(self, name).shape for name, _, _ in self.arrays]
        if len(set(shapes)) > 1 or self.samples.ndim != 1:
            raise ValueError(f"arrays differ: {', '.join(map(str, shapes))}")
        if (np.diff(self.samples) <= 0).any() or (self.samples < 0).any():
            raise ValueError("samples are not ascending indices")
        if not (self.epsilon >= 0).all() or (self.partner < -1).any():
            raise ValueError("strengths are not all numbers, or partners not all samples or -1")
        if self.weight is not None and not ((self.weight > 0) & np.isfinite(self.weight)).all():
            raise ValueError("weights are not all finite and above 0")

    @property
    def arrays(self) -> tuple[tuple[str, str, float], ...]:
        """Name, dtype and fill value of each array that there is."""
        return ALWAYS if self.weight is None else ARRAYS

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all arrays."""
        digest = hashlib.sha256()
        for name, dtype, _ in self.arrays:
            digest.update(np.ascontiguousarray(getattr(self, name), dtype=dtype).tobytes())
        return digest.hexdigest()


def is_condensed(store: KnowledgeStore) -> bool:
    """Return True if the store holds a condensed set, and not a row for each sample of its data set."""
    return CONDENSED_KEY in store.made_from


def condensed_from(store: KnowledgeStore) -> int | None:
    """Return the number of samples that a condensed set was made from; None if the store holds no condensed set.

    Raises
    ------
    CorruptStoreError
        If the attributes of a condensed store do not say it.
    """
    if not is_condensed(store):
        return None
    dataset = store.made_from.get("dataset")
    size = dataset.get("size") if isinstance(dataset, dict) else None
    if not isinstance(size, int) or size < store.layout.samples:
        raise CorruptStoreError(
            f"the condensed store at {store.location} is damaged: made_from.dataset.size in {METADATA} is {size!r}, "
            f"expected a number of samples from {store.layout.samples} on.",
            damage=f"{METADATA}: made_from.dataset.size is {size!r}",
            remedy=Remedy.REPLACE_CONDENSED,
        )
    return size


def write_condensed(writer: KnowledgeWriter, rows: CondensedRows) -> None:
    """Write the arrays of a store just made, or made and interrupted; they are durable when this returns."""
    storage = writer.store.storage
    for name, dtype, fill in rows.arrays:
        data = np.asarray(getattr(rows, name), dtype=dtype)
        storage.put(f"{name}/c/0", with_checksum(data))
        storage.put(f"{name}/{METADATA}", document(_metadata(name, len(data), dtype, fill)))


def _metadata(name: str, size: int, dtype: str, fill: float) -> ArrayV3Metadata:
    array = zarr.create_group(MemoryStore(), zarr_format=3).create_array(
        name,
        shape=(size,),
        chunks=(size,),
        dtype=dtype,
        compressors=[Crc32cCodec()],
        fill_value=fill,
        dimension_names=("sample",),
    )
    assert isinstance(array.metadata, ArrayV3Metadata)
    return array.metadata


def read_condensed(store: KnowledgeStore) -> CondensedRows | None:
    """Read the arrays of a condensed set; None for a store that has a row for each sample of its data set.

    Raises
    ------
    IncompleteStoreError
        If a file of them is missing: the process that made the store was interrupted before it had written them.
    CorruptStoreError
        If they are damaged or do not fit the store.
    """
    size = condensed_from(store)
    if size is None:
        return None
    arrays = [name for name, _, _ in (ARRAYS if _described(store).get(WEIGHTED_KEY) else ALWAYS)]
    names = [f"{name}/{file}" for name in arrays for file in (METADATA, "c/0")]
    files = dict(zip(names, store.storage.fetch(names), strict=True))
    missing = next((name for name in names if files[name] is None), None)
    if missing is not None:
        store.require_unreplaced()
        raise IncompleteStoreError(
            f"the condensed store at {store.location} has no {missing}: it was interrupted while it was being made.",
            remedy=Remedy.FINISH_CONDENSED,
        )
    try:
        rows = CondensedRows(**{name: _array(name, store.layout.samples, files) for name in arrays})
        _require_fit(store, rows, size)
    except ValueError as error:
        store.require_unreplaced()
        raise CorruptStoreError(
            f"the condensed store at {store.location} is damaged: {error}.",
            damage=str(error),
            remedy=Remedy.REPLACE_CONDENSED,
        ) from error
    return rows


def _described(store: KnowledgeStore) -> Mapping[str, Any]:
    """Return what a condensed store says of its set; nothing if that is not a mapping."""
    described = store.made_from[CONDENSED_KEY]
    return described if isinstance(described, dict) else {}


def _array(name: str, size: int, files: dict[str, bytes | None]) -> NDArray[Any]:
    """Return one array `[K]` of the condensed set; ValueError is raised if a file of it is not what was written."""
    dtype, fill = next((dtype, fill) for known, dtype, fill in ARRAYS if known == name)
    metadata, data = files[f"{name}/{METADATA}"], files[f"{name}/c/0"]
    assert metadata is not None
    assert data is not None
    try:
        require_metadata(metadata, document(_metadata(name, size, dtype, fill)))
    except ValueError as error:
        raise ValueError(f"{name}/{METADATA}: {error}") from error
    return without_checksum(f"{name}/c/0", data, dtype, (size,))


def _require_fit(store: KnowledgeStore, rows: CondensedRows, size: int) -> None:
    """Raise ValueError if the arrays are not those that the attributes name, or not of a data set of that `size`."""
    expected = _described(store).get(DIGEST_KEY)
    if expected is not None and rows.digest != expected:
        raise ValueError(f"samples and their blends are not those that {DIGEST_KEY} in {METADATA} is the digest of")
    if rows.samples[-1] >= size or rows.partner.max() >= size:
        raise ValueError(f"there are samples up to {max(rows.samples[-1], rows.partner.max())} of a data set of {size}")
