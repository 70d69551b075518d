"""The block shuffle: an epoch read window by window, one window ahead, whatever the size of the store."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.store import PIECE_BYTES, KnowledgeStore
from kcd_stores.streaming.budget import Streaming
from kcd_stores.streaming.order import WHOLE, Cut, Share, Window, plan_windows
from kcd_stores.streaming.partner_rows import FileShelf, MemoryShelf, Shelf
from kcd_stores.streaming.protocol import Portion, Reading
from kcd_stores.streaming.rows import HeldRows, new_rows, read_pieces


class WindowReader:
    """Reads the windows of one epoch, each `next()` one of them; called from one thread at a time.

    The rows of partners, which may lie anywhere in the view, are gathered in one pass over it before the first window,
    and wait on a shelf: in memory, where the budget has room beside two windows, else in a file.

    Of a window only the rows of its `share` are held, their partners', and those of what is carried on to the next.
    """

    def __init__(
        self,
        store: KnowledgeStore,
        reading: Reading,
        streaming: Streaming,
        *,
        batch_size: int,
        scratch: Path | None,
        share: Share,
    ) -> None:
        assert streaming.cut is not None
        self._store, self._reading, self._streaming = store, reading, streaming
        self._cut: Cut = streaming.cut
        self._batch_size, self._scratch, self._share = batch_size, scratch, share
        self._windows = self._plan()
        self._before = HeldRows(np.empty(0, np.int64), new_rows(0, store))
        self._shelf: Shelf | None = None
        self._taken = 0

    def _plan(self) -> Iterator[Window]:
        reading = self._reading
        return plan_windows(reading.seed, reading.epoch, reading.kept, self._cut, batch_size=self._batch_size)

    def next(self) -> tuple[Portion, bool]:
        """The next window, and whether it is the last."""
        if self._shelf is None and self._reading.partner is not None:
            self._shelf = self._gathered()
        window = next(self._windows)
        mine = self._share.mine(window.order, self._batch_size)
        partners = self._partners(mine)
        carried, read = (self._wanted(samples, window.order, mine) for samples in (window.carried, window.read))
        own = np.sort(np.concatenate([carried, read]))
        held = np.union1d(own, partners) if len(partners) else own
        rows = new_rows(len(held), self._store)
        if self._shelf is not None:
            step = max(PIECE_BYTES // self._store.row_bytes, 1)
            for start in range(0, len(partners), step):
                part = partners[start : start + step]
                rows[np.searchsorted(held, part)] = self._shelf.take(self._taken, self._taken + len(part))
                self._taken += len(part)
        rows[np.searchsorted(held, carried)] = self._before[carried]
        places = np.searchsorted(held, read)
        for span, piece in read_pieces(self._store, self._reading.view, read, self._cut.strip_rows):
            rows[places[span]] = piece
        self._before = HeldRows(held, rows)
        if window.last:
            self.close()
        return Portion(order=window.order, rows=self._before), window.last

    def _wanted(
        self, samples: NDArray[np.int64], order: NDArray[np.int64], mine: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Those of `samples` whose rows are needed: what is `mine`, and what is not in this window's `order` yet."""
        if self._share.ranks == 1:
            return samples
        return samples[np.isin(samples, mine) | ~np.isin(samples, order)]

    def _partners(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """The partners of the samples `order`, in that order, of those that have one."""
        if self._reading.partner is None:
            return order[:0]
        partners = self._reading.partner[np.searchsorted(self._reading.kept, order)]
        return partners[partners >= 0]

    def _gathered(self) -> Shelf | None:
        """All partners' rows, in the order in which windows will take them; None where there are none."""
        mine = (self._share.mine(window.order, self._batch_size) for window in self._plan())
        wanted = np.concatenate([self._reading.kept[:0], *map(self._partners, mine)])
        if not len(wanted):
            return None
        shelf: Shelf
        if len(wanted) * self._store.row_bytes + self._streaming.held_bytes <= self._streaming.memory:
            shelf = MemoryShelf(new_rows(len(wanted), self._store))
        else:
            shelf = FileShelf(self._scratch, self._store.columns, self._store.dtype)
        places = np.argsort(wanted)
        for part, piece in read_pieces(self._store, self._reading.view, wanted[places], self._cut.strip_rows):
            shelf.put(places[part], piece)
        return shelf

    def close(self) -> None:
        """Give up the partners' rows."""
        if self._shelf is not None:
            self._shelf.close()


class BlockShuffle:
    """Epochs of a portion a window, one window read ahead; during the last of an epoch, the first of the next.

    Parameters
    ----------
    batch_size
        Windows end where batches of this size do.
    scratch
        Folder for partners that find no room in the budget; the system's own for temporary files if None.
    share
        Whose rows are held; each portion's `order` is that of all ranks.
    """

    def __init__(
        self,
        store: KnowledgeStore,
        streaming: Streaming,
        *,
        batch_size: int,
        scratch: Path | None = None,
        share: Share = WHOLE,
    ) -> None:
        self._store, self._streaming = store, streaming
        self._batch_size, self._scratch, self._share = batch_size, scratch, share
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="block-shuffle")
        self._reading: Reading | None = None
        self._reader: WindowReader | None = None
        self._ahead: Future[tuple[Portion, bool]] | None = None

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """As `EpochStream.read`; an epoch is asked for before the one before it is gone on with, never after."""
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
        )
        if len(reading.kept):
            self._read_ahead()

    def _read_ahead(self) -> None:
        assert self._reader is not None
        self._ahead = self._pool.submit(self._reader.next)

    def _drop(self) -> None:
        """Forget an epoch that was begun and is not wanted any more, or that has come to its end."""
        if self._ahead is not None and not self._ahead.cancel():
            self._ahead.exception()  # wait: its error, if any, is of something that nobody asked for
        if self._reader is not None:
            self._reader.close()
        self._ahead = self._reader = None

    def close(self) -> None:
        """Stop reading ahead and wait for the read under way."""
        self._drop()
        self._pool.shutdown(wait=True, cancel_futures=True)
