"""Batches for training loops other than the pipeline's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.errors import IncompleteStoreError, StoreUsageError
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.sizes import parse_bytes
from kcd_stores.streaming.budget import plan_streaming
from kcd_stores.streaming.open import open_stream
from kcd_stores.streaming.order import cut_batches
from kcd_stores.streaming.protocol import Reading


def batches(
    store: KnowledgeStore,
    *,
    view: int,
    batch_size: int,
    seed: int,
    epoch: int,
    kept: NDArray[np.int64] | None,
    memory: str | int,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """What `KnowledgeStore.batches` says; what can be refused is refused by this call, not by the first batch."""
    samples = store.layout.samples
    kept = np.arange(samples) if kept is None else np.asarray(kept)
    if len(kept) and (kept[0] < 0 or kept[-1] >= samples or (np.diff(kept) <= 0).any()):
        raise StoreUsageError(f"kept must be ascending indices of the {samples} samples, got {kept}")
    if batch_size < 1:
        raise StoreUsageError(f"batch_size must be at least 1, got {batch_size}")
    require_view(store, view)
    streaming = plan_streaming(store, memory=_size(memory), batch_size=batch_size, partners=False)
    reading = Reading(seed=seed, epoch=epoch, view=view, kept=kept)

    def handed_out() -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        stream = open_stream(store, [view], streaming, batch_size=batch_size)
        try:
            for portion in stream.read(reading):
                for index in cut_batches(portion.order, batch_size):
                    yield index, portion.rows[index]
        finally:
            stream.close()

    return handed_out()


def require_view(store: KnowledgeStore, view: int) -> None:
    """Check that one view is there and complete.

    Raises
    ------
    StoreUsageError
        If it is not.
    """
    if not 0 <= view < store.layout.views:
        raise StoreUsageError(f"the store at {store.location} has views 0 to {store.layout.views - 1}, not {view}")
    complete = store.complete()[view]
    if not complete.all():
        raise IncompleteStoreError(
            f"view {view} of the store at {store.location} is not finished: {int(complete.sum())} of {complete.size} "
            f"blocks are complete. Run the same `kcd-pipeline extract-teacher` again: it makes only what is missing."
        )


def _size(memory: str | int) -> int:
    try:
        return parse_bytes(memory)
    except ValueError as error:
        raise StoreUsageError(f"memory: {error}") from error
