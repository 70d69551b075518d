"""Verify a whole store: its attributes, its completeness, every checksum, every value."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kcd_stores.errors import CorruptStoreError, IncompleteStoreError
from kcd_stores.knowledge.condensed import read_condensed
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.storage import Where

VERIFIED_BYTES = 64 * 1024 * 1024  # decoded rows that are in memory at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """The findings of `verify_store`.

    Attributes
    ----------
    rows
        Number of rows that were read back.
    missing
        `[M, 2]`: view and block of each block that was never recorded complete, or whose record cannot be read.
    unreadable
        A sentence for each record that cannot be read. Its blocks are missing, and made again by the next extraction.
    damage
        A sentence for each thing that is wrong.
    """

    rows: int
    missing: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    unreadable: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """True if nothing is missing or damaged."""
        return not len(self.missing) and not self.damage


def verify_store(where: Where, on_rows: Callable[[int], None] = lambda rows: None) -> Verdict:
    """Read all of a store: every shard of every array, so that every checksum and every value is looked at.

    Parameters
    ----------
    on_rows
        Called for each block with its number of rows, when it has been read or found missing.

    Raises
    ------
    StoreUsageError
        If nothing is at `where`, or something that is not a knowledge store.
    IncompleteStoreError
        If the process that made the store was killed before it had made all arrays.
    CorruptStoreError
        If the attributes or the metadata of an array are not what the store was made with.
    StoreReplacedError
        If another process replaced or removed the store meanwhile.
    """
    store = KnowledgeStore.open(where, features=True)
    damage = []
    try:
        read_condensed(store)
    except CorruptStoreError as error:
        damage.append(error.damage)
    except IncompleteStoreError as error:
        damage.append(error.problem)
    found = store.survey()
    rows, sizes = 0, store.layout.block_sizes()
    for view, blocks in enumerate(found.complete):
        on_rows(int(sizes[~blocks].sum()))
        for block in np.flatnonzero(blocks).tolist():
            try:
                rows += _read_block(store, view, block, damage)
            except CorruptStoreError as error:
                damage.append(f"view {view}, block {block}: {error.damage}")
            on_rows(int(sizes[block]))
    missing = np.argwhere(~found.complete)
    if len(missing):
        store.require_unreplaced()
    return Verdict(rows=rows, missing=missing, unreadable=found.problems, damage=damage)


def _read_block(store: KnowledgeStore, view: int, block: int, damage: list[str]) -> int:
    """Read a block, some chunks at a time; return its number of rows, and add to `damage` if a logit is not finite."""
    span, chunk = store.layout.rows(block), store.layout.chunk_rows
    step = max(VERIFIED_BYTES // (store.row_bytes * chunk), 1) * chunk
    for start in range(span.start, span.stop, step):
        decoded = store.read_rows(view, start, min(start + step, span.stop))
        if not np.isfinite(decoded).all():
            damage.append(f"view {view}, block {block}: decodes to logits that are not finite")
            break
    return len(span)
