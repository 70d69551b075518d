"""A store's rows handed out epoch by epoch, the next ones read and decoded while the current ones are being used.

Two modes, chosen by a memory budget (kcd_stores.streaming.budget), one interface (kcd_stores.streaming.protocol): an
epoch is one or more `Portion`s, each some samples in the order of training with their rows at hand.

whole views     one portion an epoch: at most two views are held; the order is a permutation of all kept samples
block shuffle   a portion a window (kcd_stores.streaming.block_shuffle): two windows are held, whatever the store's size
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.philox import permutation
from kcd_stores.streaming.block_shuffle import BlockShuffle
from kcd_stores.streaming.budget import Streaming
from kcd_stores.streaming.order import WHOLE, Share
from kcd_stores.streaming.protocol import EpochStream, Portion, Reading
from kcd_stores.streaming.rows import ViewRows, read_whole
from kcd_stores.streaming.shared_views import SharedViews


class ViewStream:
    """Iterates over whole views of a store, one background read ahead.

    At most two views are in memory: the one in use and the one being read. A view asked for twice in a row is
    read once. An error of the background read is raised by the `next()` that would have handed out the view.

    Parameters
    ----------
    needed
        Asked when a view is about to be read: which samples of it matter, `[N]`, or None for all.

    Attributes
    ----------
    held
        What `needed` said of the view that was handed out last.

    >>> with ViewStream(store, [0, 1, 2]) as stream:        # doctest: +SKIP
    ...     for rows in stream:                             # rows[N, C], the encoding's dtype
    ...         ...
    """

    def __init__(
        self,
        store: KnowledgeStore,
        views: Iterable[int],
        needed: Callable[[], NDArray[np.bool_] | None] = lambda: None,
    ) -> None:
        self._store, self._needed = store, needed
        self.held: NDArray[np.bool_] | None = None
        self._held_ahead: NDArray[np.bool_] | None = None
        self._views: Iterator[int] = iter(views)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="view-stream")
        self._ahead: Future[NDArray[Any]] | None = None
        self._view: int | None = None
        self._advance()

    def _advance(self) -> None:
        view = next(self._views, None)
        if view is None:
            self._ahead = None
            return
        needed = self._needed()
        if view != self._view or not covers(self._held_ahead, needed):
            self._view, self._held_ahead = view, needed
            self._ahead = self._reader.submit(read_whole, self._store, view, needed)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self

    def __next__(self) -> NDArray[Any]:
        if self._ahead is None:
            raise StopIteration
        rows, self.held = self._ahead.result(), self._held_ahead
        self._advance()
        return rows

    def close(self) -> None:
        """Stop reading ahead and wait for the read under way."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def covers(held: NDArray[np.bool_] | None, needed: NDArray[np.bool_] | None) -> bool:
    """Whether all that is `needed[N]` is `held[N]`; None is all samples."""
    return held is None or (needed is not None and not (needed & ~held).any())


class WholeViews:
    """Epochs of one portion each: the whole view. `views` are those of the epochs to come, in order.

    What no epoch needs is left out as far as it is known ahead: within a stage. The view after a condensation, whose
    outcome is not known while it is read, is read whole.
    """

    def __init__(self, store: KnowledgeStore, views: Iterable[int]) -> None:
        self._store = store
        self._ahead: NDArray[np.bool_] | None = None
        self._stream = ViewStream(store, views, lambda: self._ahead)

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """As `EpochStream.read`."""
        needed = self._needed(now)
        self._ahead = None if then is None else self._needed(then)
        rows = next(self._stream)
        if not covers(self._stream.held, needed):
            rows = read_whole(self._store, now.view, needed)
        yield Portion(order=permutation(now.seed, now.epoch, now.kept), rows=ViewRows(rows))

    def _needed(self, reading: Reading) -> NDArray[np.bool_] | None:
        """The samples that `reading` looks up, `[N]`; None for all."""
        samples = self._store.layout.samples
        if len(reading.kept) == samples:
            return None
        needed = np.zeros(samples, dtype=bool)
        needed[reading.kept] = True
        if reading.partner is not None:
            needed[reading.partner[reading.partner >= 0]] = True
        return needed

    def close(self) -> None:
        """Stop reading ahead and wait for the read under way."""
        self._stream.close()


def open_stream(
    store: KnowledgeStore,
    views: Iterable[int],
    streaming: Streaming,
    *,
    batch_size: int,
    scratch: Path | None = None,
    share: Share = WHOLE,
) -> EpochStream:
    """The stream of the mode that was planned; `views` are those of the epochs that will be read, in order.

    Of each portion a `share` of several ranks holds its own rows alone; the order is the same for all of them.
    """
    if streaming.cut is not None:
        return BlockShuffle(store, streaming, batch_size=batch_size, scratch=scratch, share=share)
    if share.ranks > 1:
        return SharedViews(store, share, batch_size=batch_size)
    return WholeViews(store, views)
