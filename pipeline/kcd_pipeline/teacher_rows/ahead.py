"""A thread that makes the next batch while its caller works on the one before."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")


def made_ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield what `items` yields; a thread of its own takes the next one while the caller has the one before.

    So there are two at a time. An error of `items` is raised where its item would have been yielded. If the caller
    stops early, `items` is closed as soon as the item that is being made is there.
    """
    with closing(items), ThreadPoolExecutor(max_workers=1, thread_name_prefix="made-ahead") as pool:
        upcoming = pool.submit(_take, items)
        while taken := upcoming.result():
            upcoming = pool.submit(_take, items)
            yield taken[0]
            del taken  # not to be kept while the next one is waited for


def _take(items: Iterator[T]) -> tuple[T] | None:
    """Return the next item; None at the end, for a future cannot hold a StopIteration."""
    try:
        return (next(items),)
    except StopIteration:
        return None
