"""Streaming of whole views: a permutation of all kept samples an epoch, and the next view read in the background.

At most two views are in memory: the one in use, and the one being read. Letters: N samples.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kcd_stores.streaming.protocol import Portion, Reading, RowSource
from kcd_stores.streaming.rows import ViewRows, read_whole


def all_samples() -> None:
    """Say that every sample of a view is needed."""
    return


class ViewStream:
    """Iterator over whole views of a store, looked up by sample, that reads one view ahead.

    A view that is asked for twice in a row is read once. If a read in the background fails, its error is raised by the
    `next()` that should return the view.

    Parameters
    ----------
    views
        The views to read, in order.
    needed
        Function that is called when a view is about to be read, and returns the samples that will be looked up in it
        (`[N]` bool), or None for all of them.

    Examples
    --------
    >>> with ViewStream(store, [0, 1, 2]) as stream:        # doctest: +SKIP
    ...     for rows in stream:
    ...         rows[index]
    """

    def __init__(
        self,
        store: RowSource,
        views: Iterable[int],
        needed: Callable[[], NDArray[np.bool_] | None] = all_samples,
    ) -> None:
        self._store, self._needed = store, needed
        self._held_ahead: NDArray[np.bool_] | None = None
        self._views: Iterator[int] = iter(views)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="view-stream")
        self._ahead: Future[ViewRows] | None = None
        self._view: int | None = None
        self._read_ahead()

    def _read_ahead(self) -> None:
        view = next(self._views, None)
        if view is None:
            self._ahead = None
            return
        needed = self._needed()
        if view != self._view or not covers(self._held_ahead, needed):
            self._view, self._held_ahead = view, needed
            self._ahead = self._reader.submit(read_whole, self._store, view, needed)

    def __iter__(self) -> Iterator[ViewRows]:
        return self

    def __next__(self) -> ViewRows:
        if self._ahead is None:
            raise StopIteration
        rows = self._ahead.result()
        self._read_ahead()
        return rows

    def close(self) -> None:
        """Stop reading in the background, and wait for a read that has begun."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def covers(held: NDArray[np.bool_] | None, needed: NDArray[np.bool_] | None) -> bool:
    """Return True if every sample that is `needed[N]` is `held[N]`; None stands for all samples."""
    return held is None or (needed is not None and not (needed & ~held).any())


class WholeViews:
    """Stream of epochs that are one portion each, with a whole view.

    Rows that the next epoch does not look up are not read, if its samples are known while the present epoch runs. They
    are not known before a condensation, so the view after it is read whole.

    Parameters
    ----------
    views
        The views of all epochs to come, in order.
    """

    def __init__(self, store: RowSource, views: Iterable[int]) -> None:
        self._store = store
        self._needed_next: NDArray[np.bool_] | None = None
        self._stream = ViewStream(store, views, lambda: self._needed_next)

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """Yield the one portion of the epoch `now`; see `EpochStream.read`."""
        needed = self._needed(now)
        self._needed_next = None if then is None else self._needed(then)
        rows = next(self._stream)
        if not covers(rows.held, needed):
            rows = read_whole(self._store, now.view, needed)
        yield Portion(order=now.order(), rows=rows)

    def _needed(self, reading: Reading) -> NDArray[np.bool_] | None:
        """Return the samples that are looked up, `[N]` bool; None for all of them."""
        samples = self._store.layout.samples
        if len(reading.kept) == samples:
            return None
        needed = np.zeros(samples, dtype=bool)
        needed[reading.kept] = True
        needed[reading.partners_of(np.asarray(reading.kept))] = True
        return needed

    def close(self) -> None:
        """Stop reading in the background, and wait for a read that has begun."""
        self._stream.close()
