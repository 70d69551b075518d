"""Ranks that are threads of one process: an exchange of rows by queues, and all ranks read at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import TypeVar

import numpy as np

from kcd_stores import Exchange

T = TypeVar("T")

Mail = list[list[Queue[np.ndarray]]]  # by sender and receiver


class QueueExchange(Exchange):
    """The exchange of one rank of several; it waits for half a minute at most."""

    def __init__(self, rank: int, mail: Mail) -> None:
        self._rank, self._mail = rank, mail
        self.largest = 0  # bytes of one exchange, sent and received

    def swap(self, rows: np.ndarray, sent: Sequence[int], received: Sequence[int]) -> np.ndarray:
        assert (len(rows), sent[self._rank], received[self._rank]) == (sum(sent), 0, 0)
        for queue, part in zip(self._mail[self._rank], np.split(rows, np.cumsum(sent)[:-1]), strict=True):
            queue.put(part)
        found = [sender[self._rank].get(timeout=30) for sender in self._mail]
        assert [len(part) for part in found] == list(received), "each rank knows what it gets"
        self.largest = max(self.largest, rows.nbytes + sum(part.nbytes for part in found))
        return np.concatenate(found)


def exchanges(ranks: int) -> list[QueueExchange]:
    mail: Mail = [[Queue() for _ in range(ranks)] for _ in range(ranks)]
    return [QueueExchange(rank, mail) for rank in range(ranks)]


def on_all_ranks(action: Callable[[int, Exchange], T], ways: Sequence[Exchange]) -> list[T]:
    """Run `action(rank, exchange)` for all ranks at the same time; return their results."""
    with ThreadPoolExecutor(len(ways)) as pool:
        return list(pool.map(action, range(len(ways)), ways))
