"""Streaming by the block shuffle: an epoch is read window by window, so that a store of any size can be streamed.

`kcd_stores.streaming.order` says what a window is and which samples it has. Two windows are in memory at most: the one
in use, and the one being read.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_stores.scratch import Scratch
from kcd_stores.streaming.budget import Streaming
from kcd_stores.streaming.dealt_reads import Exchange, read_needed
from kcd_stores.streaming.order import ONLY_RANK, Share, Window, WindowSizes, plan_windows
from kcd_stores.streaming.partner_places import PartnerPlaces
from kcd_stores.streaming.partner_rows import PartnerRows, PartnersInFile, PartnersInMemory
from kcd_stores.streaming.protocol import Portion, Reading, RowSource
from kcd_stores.streaming.rows import HeldRows, new_rows, piece_limit


class WindowReader:
    """Reads the windows of one epoch, one with each call of `next`. It must be used by one thread at a time.

    The rows of partners may lie anywhere in the view. They are gathered in one pass over the view before the first
    window, and wait in memory if the budget has room for them beside two windows, else in a file.

    A rank of several holds the rows of its own share of each window, the rows of their partners, and the rows that are
    carried over to the next window. With an exchange, it reads its part of the chunks and gets other rows from the rank
    that reads them: all ranks must read the same windows.

    Parameters
    ----------
    streaming
        A way of streaming that has window sizes.
    batch_size
        Samples of a batch, over all ranks.
    scratch
        Folder of the file for partners; the system's folder for temporary files if None.
    """

    def __init__(
        self,
        store: RowSource,
        reading: Reading,
        streaming: Streaming,
        *,
        batch_size: int,
        scratch: Path | None,
        share: Share,
        exchange: Exchange | None,
    ) -> None:
        assert streaming.window_sizes is not None
        self._store, self._reading, self._streaming = store, reading, streaming
        self._sizes: WindowSizes = streaming.window_sizes
        self._batch_size, self._scratch, self._share, self._exchange = batch_size, scratch, share, exchange
        self._windows = self._plan()
        self._before = HeldRows(np.empty(0, np.int64), new_rows(0, store), store.packing)
        self._gathered = False
        self._waiting: PartnerRows | None = None  # rows of all partners, in the order in which windows take them
        self._taken = 0  # of them

    def _plan(self) -> Iterator[Window]:
        reading = self._reading
        return plan_windows(
            reading.seed,
            reading.epoch,
            reading.kept,
            self._sizes,
            batch_size=self._batch_size,
            times=reading.times,
        )

    def next(self) -> tuple[Portion, bool]:
        """Read the next window; return it, and True if it is the last one."""
        if not self._gathered:
            self._gathered, self._waiting = True, self._gather_partners()
        window = next(self._windows)
        own = self._share.select(window.order, self._batch_size)
        partners = self._reading.partners_of(own)
        carried = self._held_of(window.carried, own, window.left)

        def needed(share: Share) -> NDArray[np.int64]:
            return self._held_of(window.read, share.select(window.order, self._batch_size), window.left)

        read = needed(self._share)
        held = np.sort(np.concatenate([carried, read]))
        if len(partners):
            held = np.union1d(held, partners)
        rows = new_rows(len(held), self._store)
        self._take_partners(partners, held, rows)
        rows[np.searchsorted(held, carried)] = self._before.taken(carried)
        places = np.searchsorted(held, read)
        for span, piece in self._read(needed):
            rows[places[span]] = piece
        self._before = HeldRows(held, rows, self._store.packing)
        if window.last:
            self.close()
        return Portion(order=window.order, rows=self._before), window.last

    def _read(self, needed: Callable[[Share], NDArray[np.int64]]) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Read what the rank of this reader needs; see `read_needed`."""
        view, strip_rows = self._reading.view, self._sizes.strip_rows
        return read_needed(self._store, view, needed, strip_rows, share=self._share, exchange=self._exchange)

    def _held_of(
        self, samples: NDArray[np.int64], own: NDArray[np.int64], left: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return those of `samples` that a rank trains on now (`own`), or that are `left` for a later window."""
        if self._share.ranks == 1:
            return samples
        return samples[np.isin(samples, own) | np.isin(samples, left)]

    def _take_partners(self, partners: NDArray[np.int64], held: NDArray[np.int64], rows: NDArray[np.uint8]) -> None:
        """Fill in the rows of a window's partners; `rows[n, W]` are those of the samples `held[n]`."""
        if self._waiting is None:
            return
        step = piece_limit(self._store)
        for start in range(0, len(partners), step):
            part = partners[start : start + step]
            rows[np.searchsorted(held, part)] = self._waiting.take(self._taken, self._taken + len(part))
            self._taken += len(part)

    def _gather_partners(self) -> PartnerRows | None:
        """Read the rows of all partners of the epoch; return None if there are no partners."""
        if self._reading.partner is None:
            return None
        places = self._partner_places()
        if not places.partners:
            return None
        waiting: PartnerRows
        if places.own * self._store.packing.row_bytes + self._streaming.held_bytes <= self._streaming.memory:
            waiting = PartnersInMemory(new_rows(places.own, self._store))
        else:
            waiting = PartnersInFile(self._scratch, self._store.packing.row_bytes)
        for partners in places.by_sample():
            for part, piece in self._read(partners.needed):
                waiting.put(partners.places[part], piece)
        return waiting

    def _partner_places(self) -> PartnerPlaces:
        """Return where windows take the rows of the partners of this rank's samples; and what all who exchange need."""
        ranks, layout = self._share.ranks, self._store.layout
        shares = [self._share] if self._exchange is None else [Share(rank=rank, ranks=ranks) for rank in range(ranks)]
        places = PartnerPlaces(
            self._reading, self._share, layout.samples, chunk_rows=layout.chunk_rows, scratch=Scratch(self._scratch)
        )
        for window in self._plan() if places.partners else ():
            for share in shares:
                places.add(share, self._reading.partners_of(share.select(window.order, self._batch_size)))
        return places

    def close(self) -> None:
        """Free the rows of partners."""
        if self._waiting is not None:
            self._waiting.close()


class BlockShuffle:
    """Stream of epochs that are one portion a window, with the next window read in the background.

    While the last window of an epoch is in use, the first window of the next epoch is read.

    Parameters
    ----------
    streaming
        A way of streaming that has window sizes.
    batch_size
        Samples of a batch, over all ranks; windows end where batches end.
    scratch
        Folder for partners that do not fit the budget; the system's folder for temporary files if None.
    share
        The share whose rows are held. The order of each portion is that of all ranks.
    exchange
        The way to the other ranks, all of which must then read the same epochs and close the stream.
    """

    def __init__(
        self,
        store: RowSource,
        streaming: Streaming,
        *,
        batch_size: int,
        scratch: Path | None = None,
        share: Share = ONLY_RANK,
        exchange: Exchange | None = None,
    ) -> None:
        self._store, self._streaming = store, streaming
        self._batch_size, self._scratch, self._share, self._exchange = batch_size, scratch, share, exchange
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="block-shuffle")
        self._reading: Reading | None = None  # an epoch that has begun, and of which nothing was handed out yet
        self._reader: WindowReader | None = None
        self._ahead: Future[tuple[Portion, bool]] | None = None

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """Yield the portions of the epoch `now`; see `EpochStream.read`.

        Ask for the next epoch after the last portion of this one: an epoch cannot go on once another one has begun.
        """
        if self._reading is None or not self._reading.same(now):
            self._begin(now)
        last = not len(now.kept)
        while not last:
            assert self._ahead is not None
            portion, last = self._ahead.result()
            self._reading = None
            if not last:
                self._read_ahead()
            elif then is not None:
                self._begin(then)
            yield portion

    def _begin(self, reading: Reading) -> None:
        self._drop()
        self._reading = reading
        self._reader = WindowReader(
            self._store,
            reading,
            self._streaming,
            batch_size=self._batch_size,
            scratch=self._scratch,
            share=self._share,
            exchange=self._exchange,
        )
        if len(reading.kept):
            self._read_ahead()

    def _read_ahead(self) -> None:
        assert self._reader is not None
        self._ahead = self._pool.submit(self._reader.next)

    def _drop(self) -> None:
        """Forget an epoch that has ended, or that is not wanted any more."""
        # other ranks wait for what this one sends: a read that they may have begun must not be cancelled here
        if self._ahead is not None and (self._exchange is not None or not self._ahead.cancel()):
            self._ahead.exception()  # wait for the read; nobody wants its rows, so its error is nobody's
        if self._reader is not None:
            self._reader.close()
        self._ahead = self._reader = None

    def close(self) -> None:
        """Stop reading in the background, and wait for a read that has begun."""
        self._drop()
        self._pool.shutdown(wait=True, cancel_futures=True)
