"""The arrays that a store of a condensed set has besides: the sample of each row, and the sample blended into it.

    samples [K]  int64: the sample of the data set that row k of every view belongs to, ascending
    partner [K]  int64: the sample whose row was blended into row k, -1 if none was
    epsilon [K]  float32: the strength of that blend, 0 if there was none

Its `made_from` has an entry `condensed`, which names the run and the plan. No other store has these arrays or this
entry. Everything else is as in any knowledge store, with N = K.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from kcd_stores.errors import CorruptStoreError, IncompleteStoreError, Remedy
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.knowledge.writer import KnowledgeWriter

CONDENSED_KEY = "condensed"  # in `made_from`
# name, dtype, and fill value, which cannot be data
ARRAYS = (("epsilon", np.float32, float("nan")), ("partner", np.int64, -2), ("samples", np.int64, -1))


@dataclass(frozen=True, kw_only=True, eq=False)
class CondensedRows:
    """The three arrays `[K]` of a condensed set, as described above; ValueError is raised if they cannot be that."""

    samples: NDArray[np.int64]
    partner: NDArray[np.int64]
    epsilon: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not (self.samples.shape == self.partner.shape == self.epsilon.shape and self.samples.ndim == 1):
            raise ValueError(f"arrays differ: {self.samples.shape}, {self.partner.shape}, {self.epsilon.shape}")
        if (np.diff(self.samples) <= 0).any() or (self.samples < 0).any():
            raise ValueError("samples are not ascending indices")
        if not (self.epsilon >= 0).all() or (self.partner < -1).any():
            raise ValueError("strengths are not all numbers, or partners not all samples or -1")


def is_condensed(store: KnowledgeStore) -> bool:
    """Return True if the store holds a condensed set, and not a row for each sample of its data set."""
    return CONDENSED_KEY in store.made_from


def write_condensed(writer: KnowledgeWriter, rows: CondensedRows) -> None:
    """Write the arrays of a store just made, or made and interrupted; they are durable when this returns."""
    storage = writer.store.storage
    group = zarr.open_group(storage.zarr_store(), mode="r+")
    for name, dtype, fill in ARRAYS:  # samples come last: if they are whole, so are the others
        data = np.asarray(getattr(rows, name), dtype=dtype)
        group.create_array(
            name,
            data=data,
            chunks=data.shape,
            compressors=[Crc32cCodec()],
            fill_value=fill,
            dimension_names=("sample",),
            overwrite=True,
        )
        storage.make_durable(f"{name}/c/0")


def read_condensed(store: KnowledgeStore) -> CondensedRows | None:
    """Read the arrays of a condensed set; None for a store that has a row for each sample of its data set.

    Raises
    ------
    IncompleteStoreError
        If the process that made the store was interrupted before it had written them.
    CorruptStoreError
        If they are damaged or do not fit the store.
    """
    if not is_condensed(store):
        return None
    group = zarr.open_group(store.storage.zarr_store(read_only=True), mode="r")
    found: dict[str, zarr.Array[Any]] = {}
    for name, _, _ in ARRAYS:
        array = group.get(name)
        if not isinstance(array, zarr.Array):
            raise IncompleteStoreError(
                f"the condensed store at {store.location} has no array '{name}': it was interrupted while it was being "
                f"made.",
                remedy=Remedy.FINISH_CONDENSED,
            )
        found[name] = array
    try:
        rows = CondensedRows(**{name: np.asarray(array[:]) for name, array in found.items()})
        if len(rows.samples) != store.layout.samples:
            raise ValueError(f"{len(rows.samples)} samples for {store.layout.samples} rows")
        size = store.made_from["dataset"]["size"]
        if rows.samples[-1] >= size:
            raise ValueError(f"sample {rows.samples[-1]} of a data set of {size}")
    except (ValueError, RuntimeError, OSError) as error:
        raise CorruptStoreError(
            f"the condensed store at {store.location} is damaged: {error}.",
            damage=str(error),
            remedy=Remedy.REPLACE_CONDENSED,
        ) from error
    return rows
