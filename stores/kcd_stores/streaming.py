"""Views handed out in order, the next one read and decoded while the current one is being used."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from kcd_stores.knowledge import KnowledgeStore


class ViewStream:
    """Iterates over whole views of a store, one background read ahead.

    At most two views are in memory: the one in use and the one being read. A view asked for twice in a row is
    read once. An error of the background read is raised by the `next()` that would have handed out the view.

    >>> with ViewStream(store, [0, 1, 2]) as stream:        # doctest: +SKIP
    ...     for rows in stream:                             # rows[N, C], the encoding's dtype
    ...         ...
    """

    def __init__(self, store: KnowledgeStore, views: Iterable[int]) -> None:
        self._store = store
        self._views: Iterator[int] = iter(views)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="view-stream")
        self._ahead: Future[NDArray[Any]] | None = None
        self._view: int | None = None
        self._advance()

    def _advance(self) -> None:
        view = next(self._views, None)
        if view is None:
            self._ahead = None
        elif view != self._view:
            self._view = view
            self._ahead = self._reader.submit(self._store.read_view, view)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self

    def __next__(self) -> NDArray[Any]:
        if self._ahead is None:
            raise StopIteration
        rows = self._ahead.result()
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
