"""Batches of a store for any training loop, without the pipeline and without torch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.errors import IncompleteStoreError, Remedy, StoreUsageError
from kcd_stores.sizes import DEFAULT_MEMORY, parse_bytes
from kcd_stores.streaming.budget import Streaming, plan_streaming
from kcd_stores.streaming.open import open_stream
from kcd_stores.streaming.order import cut_batches
from kcd_stores.streaming.protocol import Reading, RowSource


def batches(
    store: RowSource,
    *,
    view: int,
    batch_size: int,
    seed: int = 0,
    epoch: int = 0,
    kept: NDArray[np.int64] | None = None,
    memory: str | int = DEFAULT_MEMORY,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Iterate over one epoch: `(index[B], rows[B, C])`, int64 samples and rows in the store's dtype, each sample once.

    Arguments that do not fit are refused by this call, not when the first batch is asked for.

    Parameters
    ----------
    view
        The view whose rows are read; show the same view of the images.
    seed, epoch
        Numbers that decide the order, together with the way of streaming (see kcd_stores.streaming.open).
    kept
        `[K]` int64, ascending: the samples of the epoch; all of the store if None.
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
    wanted = range(samples) if kept is None else np.asarray(kept)
    apart = np.diff(wanted) if isinstance(wanted, np.ndarray) else ()
    if len(wanted) and (wanted[0] < 0 or wanted[-1] >= samples or np.any(np.less_equal(apart, 0))):
        raise StoreUsageError(f"kept must be ascending indices of the {samples} samples, got {wanted}")
    if batch_size < 1:
        raise StoreUsageError(f"batch_size must be at least 1, got {batch_size}")
    require_view(store, view)
    streaming = plan_streaming(store, memory=_size(memory), batch_size=batch_size, partners=False)
    reading = Reading(seed=seed, epoch=epoch, view=view, kept=wanted)

    return _batches(store, reading, streaming, batch_size)


def _batches(
    store: RowSource, reading: Reading, streaming: Streaming, batch_size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    stream = open_stream(store, [reading.view], streaming, batch_size=batch_size)
    try:
        for portion in stream.read(reading):
            for index in cut_batches(portion.order, batch_size):
                yield index, portion.rows[index]
    finally:
        stream.close()


def require_view(store: RowSource, view: int) -> None:
    """Raise an error unless the store has this view, complete.

    Raises
    ------
    StoreUsageError
        If the store has no such view.
    IncompleteStoreError
        If a block of the view was never recorded complete.
    """
    if not 0 <= view < store.layout.views:
        raise StoreUsageError(f"the store at {store.location} has views 0 to {store.layout.views - 1}, not {view}")
    complete = store.complete()[view]
    if not complete.all():
        raise IncompleteStoreError(
            f"view {view} of the store at {store.location} is not finished: {int(complete.sum())} of {complete.size} "
            f"blocks are complete.",
            remedy=Remedy.FINISH_STORE,
        )


def _size(memory: str | int) -> int:
    try:
        return parse_bytes(memory)
    except ValueError as error:
        raise StoreUsageError(f"memory: {error}") from error
