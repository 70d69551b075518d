"""Whole views among several ranks: an epoch's order is that of one process, and each rank holds its own rows of it."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.philox import permutation
from kcd_stores.streaming.order import Share
from kcd_stores.streaming.protocol import Portion, Reading
from kcd_stores.streaming.rows import HeldRows, new_rows, read_pieces


class SharedViews:
    """Epochs of one portion each, of which the rows of a `share` are held: an R-th of a view, and an R-th read ahead.

    Neighbours fall to different ranks, so each rank decodes nearly every chunk that holds a kept sample, a piece at a
    time, and keeps its own rows of it. What an epoch reads is known ahead within a stage; the first epoch of a stage is
    read when it begins.

    Parameters
    ----------
    batch_size
        Of a batch over all ranks.
    """

    def __init__(self, store: KnowledgeStore, share: Share, *, batch_size: int) -> None:
        self._store, self._share, self._batch_size = store, share, batch_size
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shared-views")
        self._begun: tuple[Reading, Future[Portion]] | None = None

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """As `EpochStream.read`."""
        if self._begun is None or not self._begun[0].same(now):
            self._begun = self._begin(now)
        portion = self._begun[1].result()
        self._begun = None if then is None else self._begin(then)
        yield portion

    def _begin(self, reading: Reading) -> tuple[Reading, Future[Portion]]:
        return reading, self._reader.submit(self._portion, reading)

    def _portion(self, reading: Reading) -> Portion:
        order = permutation(reading.seed, reading.epoch, reading.kept)
        held = self._held(reading, self._share.mine(order, self._batch_size))
        rows = new_rows(len(held), self._store)
        for span, piece in read_pieces(self._store, reading.view, held, self._store.layout.chunk_rows):
            rows[span] = piece
        return Portion(order=order, rows=HeldRows(held, rows))

    def _held(self, reading: Reading, mine: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples `mine` and their partners, ascending."""
        if reading.partner is None:
            return np.sort(mine)
        partners = reading.partner[np.searchsorted(reading.kept, mine)]
        return np.union1d(mine, partners[partners >= 0])

    def close(self) -> None:
        """Stop reading ahead and wait for the read under way."""
        self._reader.shutdown(wait=True, cancel_futures=True)
