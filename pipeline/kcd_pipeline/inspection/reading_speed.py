"""Measuring how fast the rows of a store are read on this machine."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kcd_stores import FolderStorage, KnowledgeStore

REPEATS = 3  # the fastest of them counts
LARGEST_READING = 64 * 1024 * 1024  # bytes of decoded rows


def measure_reading(store: KnowledgeStore) -> dict[str, Any] | None:
    """Return the speed at which rows are read and decoded, as plain data; None if no block is complete.

    The rows are those of the first complete block and of the complete blocks that follow it, up to `LARGEST_READING`;
    those of one block if the store is remote. `over_copy` is the speed relative to that of a copy in memory.
    """
    complete = store.complete()
    if not complete.any():
        return None
    view, first, last = _span(store, complete)
    rows = store.read_rows(view, first, last)
    reading = min(_seconds(lambda: store.read_rows(view, first, last)) for _ in range(REPEATS))
    copying = min(_seconds(rows.copy) for _ in range(REPEATS))
    return {
        "rows": len(rows),
        "rows_per_second": len(rows) / reading,
        "bytes_per_second": rows.nbytes / reading,
        "over_copy": copying / reading,
    }


def _span(store: KnowledgeStore, complete: np.ndarray) -> tuple[int, int, int]:
    """Return the view, the first row and the row after the last one to read; `complete[V, blocks]` is the ledger."""
    layout = store.layout
    view, block = (int(part) for part in np.argwhere(complete)[0])
    stop = block + 1
    while isinstance(store.storage, FolderStorage) and stop < layout.blocks and complete[view, stop]:
        if (layout.rows(stop).stop - layout.rows(block).start) * store.row_bytes > LARGEST_READING:
            break
        stop += 1
    return view, layout.rows(block).start, layout.rows(stop - 1).stop


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
