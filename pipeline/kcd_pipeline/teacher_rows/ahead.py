"""A thread that makes the next batch while its caller works on the one before."""

from collections.abc import Generator, Iterator
from concurrent.futures import Future
from contextlib import closing
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
Asked = SimpleQueue[Future[tuple[T] | None] | None]  # for the next item each; None: no more are wanted


def made_ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield what `items` yields; a thread of its own takes the next one while the caller has the one before.

    So there are two at a time. An error of `items` is raised where its item would have been yielded. If the caller
    stops early, `items` is closed as soon as the item that is being made is there.
    """
    asked: Asked[T] = SimpleQueue()
    # not a pool's thread: a process that is forked there waits for that thread at its end, which is itself, and fails
    thread = Thread(target=_take_asked, args=(items, asked), name="made-ahead", daemon=True)
    thread.start()
    with closing(items):
        try:
            upcoming = _ask(asked)
            while taken := upcoming.result():
                upcoming = _ask(asked)
                yield taken[0]
                del taken  # not to be kept while the next one is waited for
        finally:
            asked.put(None)
            thread.join()


def _ask(asked: Asked[T]) -> Future[tuple[T] | None]:
    item: Future[tuple[T] | None] = Future()
    asked.put(item)
    return item


def _take_asked(items: Iterator[T], asked: Asked[T]) -> None:
    while (item := asked.get()) is not None:
        try:
            item.set_result(_take(items))
        except BaseException as error:  # raised where the item is waited for
            item.set_exception(error)
        del item


def _take(items: Iterator[T]) -> tuple[T] | None:
    """Return the next item; None at the end, for a future cannot hold a StopIteration."""
    try:
        return (next(items),)
    except StopIteration:
        return None
