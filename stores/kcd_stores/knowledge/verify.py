"""Verify a whole store: its attributes, its completeness, every checksum, every value."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from kcd_stores.errors import CorruptStoreError, IncompleteStoreError
from kcd_stores.knowledge.condensed import read_condensed
from kcd_stores.knowledge.creation import array_inconsistencies
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.storage import Where


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The findings of `verify_store`.

    Attributes
    ----------
    rows
        Number of rows that were read back.
    missing
        Each (view, block) that was never recorded complete.
    damage
        A sentence for each thing that is wrong.
    """

    rows: int
    missing: list[tuple[int, int]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """True if nothing is missing or damaged."""
        return not self.missing and not self.damage


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
    """
    store = KnowledgeStore.open(where, features=True)
    damage = [f"attributes: {problem}" for problem in array_inconsistencies(store.arrays, store.layout, store.encoding)]
    try:
        complete = store.complete()
        store.seconds()
        read_condensed(store)
    except (CorruptStoreError, IncompleteStoreError) as error:
        found = error.damage if isinstance(error, CorruptStoreError) else error.problem
        return Verdict(rows=0, damage=[*damage, found])
    except (ValueError, RuntimeError, OSError) as error:
        return Verdict(rows=0, damage=[*damage, f"the record of complete blocks cannot be read: {error}"])
    rows, missing = 0, []
    for view, block in store.layout.all_blocks():
        span = store.layout.rows(block)
        if not complete[view, block]:
            missing.append((view, block))
        else:
            try:
                decoded = store.read_rows(view, span.start, span.stop)
                rows += len(decoded)
                if not np.isfinite(decoded).all():
                    damage.append(f"view {view}, block {block}: decodes to logits that are not finite")
            except CorruptStoreError as error:
                damage.append(f"view {view}, block {block}: {error.damage}")
        on_rows(len(span))
    return Verdict(rows=rows, missing=missing, damage=damage)
