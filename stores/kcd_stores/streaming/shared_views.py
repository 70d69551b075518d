"""Streaming of whole views to several ranks: each rank holds its own rows of an epoch, in the order of one process."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from kcd_stores.streaming.order import Share
from kcd_stores.streaming.protocol import Portion, Reading, RowSource
from kcd_stores.streaming.rows import HeldRows, new_rows, read_pieces


class SharedViews:
    """Stream of epochs that are one portion each, with the rows of one rank: about 1/R of a view for each of R ranks.

    Neighbouring samples fall to different ranks. So each rank decompresses nearly every chunk that holds a kept sample,
    piece by piece, and keeps its own rows. The next epoch is read in the background if its samples are known, that is,
    unless a condensation comes first.

    Parameters
    ----------
    batch_size
        Samples of a batch, over all ranks.
    """

    def __init__(self, store: RowSource, share: Share, *, batch_size: int) -> None:
        self._store, self._share, self._batch_size = store, share, batch_size
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shared-views")
        self._begun: tuple[Reading, Future[Portion]] | None = None

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """Yield the one portion of the epoch `now`, whose order is that of all ranks; see `EpochStream.read`."""
        if self._begun is None or not self._begun[0].same(now):
            self._begun = self._begin(now)
        portion = self._begun[1].result()
        self._begun = None if then is None else self._begin(then)
        yield portion

    def _begin(self, reading: Reading) -> tuple[Reading, Future[Portion]]:
        return reading, self._reader.submit(self._portion, reading)

    def _portion(self, reading: Reading) -> Portion:
        order = reading.order()
        own = self._share.select(order, self._batch_size)
        held = np.union1d(own, reading.partners_of(own))
        rows = new_rows(len(held), self._store)
        for span, piece in read_pieces(self._store, reading.view, held, self._store.layout.chunk_rows):
            rows[span] = piece
        return Portion(order=order, rows=HeldRows(held, rows, self._store.packing))

    def close(self) -> None:
        """Stop reading in the background, and wait for a read that has begun."""
        self._reader.shutdown(wait=True, cancel_futures=True)
