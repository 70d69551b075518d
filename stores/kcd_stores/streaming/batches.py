"""Batches for training loops other than the pipeline's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.errors import IncompleteStoreError, StoreUsageError
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.sizes import DEFAULT_MEMORY, parse_bytes
from kcd_stores.streaming.budget import plan_streaming
from kcd_stores.streaming.open import open_stream
from kcd_stores.streaming.order import cut_batches
from kcd_stores.streaming.protocol import Reading


def batches(
    store: KnowledgeStore,
    *,
    view: int,
    batch_size: int,
    seed: int = 0,
    epoch: int = 0,
    kept: NDArray[np.int64] | None = None,
    memory: str | int = DEFAULT_MEMORY,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Iterate over one epoch for a training loop of your own: `(index[B], rows[B, C])`, each sample once.

    Arguments are checked by this call, not when the first batch is asked for.

    Parameters
    ----------
    view
        The view whose rows are read; show the same view of the images.
    seed, epoch
        Decide the order, together with the mode of streaming (see kcd_stores.streaming.open) and nothing else.
    kept
        The samples to go through, ascending; all if not given.
    memory
        The memory that rows may take, in bytes or as text such as `512MB`.

    Raises
    ------
    StoreUsageError
        If `memory` is too small for two windows, the view does not exist, or `kept` or `batch_size` is wrong.
    IncompleteStoreError
        If a block of the view was never recorded complete.
    CorruptStoreError
        If stored data is damaged; raised by the batch that would need it.
    """
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
