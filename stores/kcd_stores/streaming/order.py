"""The order of an epoch that is read in windows: random blocks of neighbours ("strips"), shuffled within a window.

All of it is pure in (seed, epoch, kept, cut): no budget, no I/O. Letters: N samples, K kept, S strips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.layout import Layout, power_of_two_below
from kcd_stores.philox import STRIP_STREAM, permutation

WINDOW_BYTES = 32 * 1024 * 1024  # of decoded rows: what is shuffled together, and half of what is held at once
STRIPS_PER_WINDOW = 128  # the more, the better mixed; the fewer, the faster read: here about 100,000 rows/s
FEWEST_WINDOWS = 8  # in an epoch: a small store is still cut into some


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How an epoch is cut: strips of `strip_rows` neighbours, windows of about `window_rows` kept rows."""

    window_rows: int
    strip_rows: int

    def __post_init__(self) -> None:
        if not 1 <= self.strip_rows <= self.window_rows:
            raise ValueError(f"a window of {self.window_rows} rows cannot hold a strip of {self.strip_rows}")


@dataclass(frozen=True, kw_only=True)
class Share:
    """What `rank` of `ranks` trains on: one run of neighbours of every batch, so that the batches are those of one.

    The parts of a batch differ by one sample at the most, lower ranks having the larger ones. A part has two samples at
    least, for batch norm cannot train on one: of a small batch the higher ranks have none.
    """

    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"there is no rank {self.rank} among {self.ranks}")

    def of(self, size: int) -> slice:
        """Where its part of a batch of `size` lies."""
        sharing = max(min(self.ranks, size // 2), 1)
        each, more = divmod(size, sharing)
        start = min(self.rank * each + min(self.rank, more), size)
        return slice(start, start + each + (self.rank < more) if self.rank < sharing else start)

    def mine(self, order: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
        """Its samples of `order[n]`, in that order, when that is cut into batches of `batch_size`."""
        if self.ranks == 1:
            return order
        parts = [batch[self.of(len(batch))] for batch in cut_batches(order, batch_size)]
        return np.concatenate([order[:0], *parts])


WHOLE = Share()  # of a process that trains alone


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """What is trained on while one window is held.

    Attributes
    ----------
    order
        `[n]` int64: its samples in the order of training; empty where a batch is larger than the window.
    carried
        Samples whose rows are taken over from the window before, to fill up a batch.
    read
        Samples whose rows are read from the store, ascending.
    last
        No window follows in this epoch.
    """

    order: NDArray[np.int64]
    carried: NDArray[np.int64]
    read: NDArray[np.int64]
    last: bool


def choose_cut(layout: Layout, row_bytes: int) -> Cut:
    """The cut for a store whose decoded rows take `row_bytes`; a function of the store alone, never of a budget.

    A window is 32 MiB of rows, at most an eighth of a view. A strip is a 128th of a window, and at most a chunk.
    """
    window_rows = power_of_two_below(min(WINDOW_BYTES / row_bytes, layout.samples / FEWEST_WINDOWS))
    strip_rows = min(layout.chunk_rows, max(window_rows // STRIPS_PER_WINDOW, 1))
    return Cut(window_rows=window_rows, strip_rows=strip_rows)


def plan_windows(seed: int, epoch: int, kept: NDArray[np.int64], cut: Cut, *, batch_size: int = 1) -> Iterator[Window]:
    """The windows of an epoch over the samples `kept[K]` (ascending), each of them in exactly one window's order.

    Strips that hold kept samples come in an order by (seed, epoch, strip); a window takes strips until it has
    `window_rows` kept samples, at most `strip_rows - 1` more. The samples of a window come in an order by (seed, epoch,
    sample). `batch_size` moves what does not fill a batch on to the next window: windows then end where batches do,
    and the order of the epoch stays the same. Nothing here grows with N but one number a strip.

    A last batch of one is never left: it joins the batch before, so up to `batch_size + 1` samples are carried.
    """
    pending = np.empty(0, dtype=np.int64)
    for read, last in _groups(seed, epoch, kept, cut):
        order = np.concatenate([pending, permutation(seed, epoch, read)])
        ends = len(order) if last else max(len(order) - 2, 0) // batch_size * batch_size
        yield Window(order=order[:ends], carried=np.sort(pending), read=read, last=last)
        pending = order[ends:]


def _groups(seed: int, epoch: int, kept: NDArray[np.int64], cut: Cut) -> Iterator[tuple[NDArray[np.int64], bool]]:
    """The kept samples of each window, ascending, and whether it is the last."""
    if not len(kept):
        return
    starts = np.searchsorted(kept, np.arange(0, int(kept[-1]) + 1 + cut.strip_rows, cut.strip_rows))
    order = permutation(seed, epoch, np.flatnonzero(np.diff(starts)), stream=STRIP_STREAM)
    counts = starts[order + 1] - starts[order]
    window = (np.cumsum(counts) - counts) // cut.window_rows
    bounds = [*np.flatnonzero(np.diff(window, prepend=-1)).tolist(), len(order)]
    for a, b in pairwise(bounds):
        yield np.concatenate([kept[starts[s] : starts[s + 1]] for s in np.sort(order[a:b])]), b == len(order)


def cut_batches(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """`order` cut into batches; a last batch of one joins the one before, for batch norm cannot train on it."""
    starts = list(range(0, len(order), batch_size))
    if batch_size > 1 and len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    return [order[a:b] for a, b in zip(starts, [*starts[1:], len(order)], strict=True)] if starts else []
