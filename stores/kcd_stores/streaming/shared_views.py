"""Streaming of whole views to several ranks: each rank holds its own rows of an epoch, in the order of one process."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kcd_stores.streaming.dealt_reads import Exchange, read_needed
from kcd_stores.streaming.order import Share
from kcd_stores.streaming.protocol import Portion, Reading, RowSource
from kcd_stores.streaming.rows import HeldRows, new_rows


class SharedViews:
    """Stream of epochs that are one portion each, with the rows of one rank: about 1/R of a view for each of R ranks.

    Neighbouring samples fall to different ranks. With an exchange, each rank decompresses its part of the chunks and
    gets its other rows from those that read them. Without one, each decompresses nearly every chunk that holds a kept
    sample, and keeps its own rows. The next epoch is read in the background if its samples are known, that is, unless a
    condensation comes first.

    Parameters
    ----------
    batch_size
        Samples of a batch, over all ranks.
    exchange
        The way to the other ranks, all of which must then read the same epochs and close the stream.
    """

    def __init__(self, store: RowSource, share: Share, *, batch_size: int, exchange: Exchange | None = None) -> None:
        self._store, self._share, self._batch_size, self._exchange = store, share, batch_size, exchange
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
        order, strip = reading.order(), self._store.layout.chunk_rows

        def needed(share: Share) -> NDArray[np.int64]:
            own = share.select(order, self._batch_size)
            return np.union1d(own, reading.partners_of(own))

        held = needed(self._share)
        rows = new_rows(len(held), self._store)
        for span, piece in read_needed(
            self._store, reading.view, needed, strip, share=self._share, exchange=self._exchange
        ):
            rows[span] = piece
        return Portion(order=order, rows=HeldRows(held, rows, self._store.packing))

    def close(self) -> None:
        """Stop reading in the background, and wait for a read that has begun; with an exchange, for all reads.

        Other ranks wait for what this one sends: a read that is given up here must be given up by all.
        """
        self._reader.shutdown(wait=True, cancel_futures=self._exchange is None)
