"""The order of an epoch of the block shuffle, its batches, and the shares of several ranks: pure functions, no I/O.

A *strip* is a run of neighbouring samples, which are cheap to read together. A *window* is a group of strips whose rows
are held at the same time. The strips of an epoch are dealt out to windows at random, and the samples of each window are
shuffled among themselves. All of it depends on (seed, epoch, kept, sizes) alone, never on a memory budget.

The order of the strips is an array up to 2**27 samples. Beyond, it is a permutation by key, computed some strips at a
time, and the samples may be a `range`: a set of any size takes the memory of its windows.

Letters: N samples, K kept samples, n samples of one window or batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kcd_stores.knowledge.layout import Layout, power_of_two_below
from kcd_stores.philox import KEYED_STRIP_STREAM, STRIP_STREAM, KeyedPermutation, permutation

WINDOW_BYTES = 32 * 1024 * 1024  # decoded rows of one window: larger ones mix better, and two of them must fit
STRIPS_PER_WINDOW = 128  # more of them mix better, fewer are read faster: here about 100,000 rows/s
LARGEST_ARRAY = 2**27  # samples whose strips are ordered by an array; those of a larger set, by key
STRIPS_AT_ONCE = 2**16  # of a permutation by key
FEWEST_WINDOWS = 8  # in an epoch, so that a small store is shuffled in windows too


@dataclass(frozen=True, kw_only=True)
class WindowSizes:
    """Rows of a strip, and kept rows of a window (about: a window takes whole strips)."""

    window_rows: int
    strip_rows: int

    def __post_init__(self) -> None:
        if not 1 <= self.strip_rows <= self.window_rows:
            raise ValueError(f"a window of {self.window_rows} rows cannot hold a strip of {self.strip_rows}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """One step of an epoch: rows to read, rows to carry over from the window before, and samples to train on.

    Attributes
    ----------
    order
        `[n]` int64: samples in the order of training. Empty where a batch is larger than the window.
    carried
        Int64, ascending: samples of the window before that filled no batch there.
    read
        Int64, ascending: samples whose rows are read from the store.
    left
        Int64, ascending: samples of this window that fill no batch in it, which the next one carries.
    last
        True for the last window of the epoch.
    """

    order: NDArray[np.int64]
    carried: NDArray[np.int64]
    read: NDArray[np.int64]
    left: NDArray[np.int64]
    last: bool


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of each batch that one rank of several trains on: a run of neighbours in the order of the batch.

    Batches stay those of a single process. Parts of a batch differ by at most one sample, and lower ranks have the
    larger ones. A part has at least two samples, since batch norm cannot train on one; the highest ranks have none of a
    batch that is too small for all.
    """

    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"there is no rank {self.rank} among {self.ranks}")

    def part_of(self, size: int) -> slice:
        """Return the slice of a batch of `size` samples that is this rank's part."""
        sharing = max(min(self.ranks, size // 2), 1)
        each, more = divmod(size, sharing)
        start = min(self.rank * each + min(self.rank, more), size)
        return slice(start, start + each + (self.rank < more) if self.rank < sharing else start)

    def select(self, order: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
        """Return this rank's samples of `order[n]`, int64 in that order, where batches have `batch_size` samples."""
        if self.ranks == 1:
            return order
        parts = [batch[self.part_of(len(batch))] for batch in cut_batches(order, batch_size)]
        return np.concatenate([order[:0], *parts])


ONLY_RANK = Share()  # of a process that trains alone: all of each batch


def choose_window_sizes(layout: Layout, row_bytes: int) -> WindowSizes:
    """Return the sizes for a store whose decoded rows take `row_bytes`; they depend on the store alone.

    A window has 32 MiB of rows, but at most an eighth of a view. A strip has a 128th of a window, but at most a chunk.
    Rows of a window are a power of two.
    """
    window_rows = power_of_two_below(min(WINDOW_BYTES / row_bytes, layout.samples / FEWEST_WINDOWS))
    strip_rows = min(layout.chunk_rows, max(window_rows // STRIPS_PER_WINDOW, 1))
    return WindowSizes(window_rows=window_rows, strip_rows=strip_rows)


def plan_windows(
    seed: int,
    epoch: int,
    kept: NDArray[np.int64] | range,
    sizes: WindowSizes,
    *,
    batch_size: int = 1,
    times: NDArray[np.int64] | None = None,
) -> Iterator[Window]:
    """Yield the windows of an epoch over the samples `kept[K]` (ascending); the rows of each are read once.

    Strips that hold kept samples come in an order that depends on (seed, epoch, strip). A window takes strips until it
    has `window_rows` kept samples, so it has at most `strip_rows - 1` more. The samples of a window come in an order
    that depends on (seed, epoch, sample). Memory grows by one number for each strip, up to LARGEST_ARRAY samples.

    Parameters
    ----------
    batch_size
        Windows end where batches end: samples that fill no batch are carried over to the next window, which leaves the
        order of the epoch as it is. Up to `batch_size + 1` are carried, since the epoch must not end in a batch of one.
    times
        `[K]` int64: how often each kept sample occurs, all within its window; once if None.
    """
    pending = np.empty(0, dtype=np.int64)
    for read, last in _samples_by_window(seed, epoch, kept, sizes):
        often = None if times is None else times[np.searchsorted(kept, read)]
        order = np.concatenate([pending, permutation(seed, epoch, read, times=often)])
        ends = len(order) if last else max(len(order) - 2, 0) // batch_size * batch_size
        carried, pending = np.unique(pending), order[ends:]
        yield Window(order=order[:ends], carried=carried, read=read, left=np.unique(pending), last=last)


def _samples_by_window(
    seed: int, epoch: int, kept: NDArray[np.int64] | range, sizes: WindowSizes
) -> Iterator[tuple[NDArray[np.int64], bool]]:
    """Yield the kept samples of each window, int64 ascending, and True with those of the last window."""
    done, current = 0, 0  # samples in the strips so far; the number of the window that takes them
    taken: list[NDArray[np.int64]] = []  # places [2, n] in `kept` where the strips of this window begin and end
    for strips in _strips_in_order(seed, epoch, kept, sizes.strip_rows):
        places = _places(kept, np.stack([strips, strips + 1]) * sizes.strip_rows)
        places = places[:, places[0] < places[1]]
        before = done + np.cumsum(places[1] - places[0]) - (places[1] - places[0])
        window = before // sizes.window_rows
        done += int((places[1] - places[0]).sum())
        cuts = [0, *(np.flatnonzero(np.diff(window)) + 1).tolist(), len(window)]
        for first, stop in pairwise(cuts) if len(window) else ():
            if window[first] != current:
                yield _samples_of(kept, taken), False
                current, taken = int(window[first]), []
            taken.append(places[:, first:stop])
    if taken:
        yield _samples_of(kept, taken), True


def _strips_in_order(
    seed: int, epoch: int, kept: NDArray[np.int64] | range, strip_rows: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the strips of an epoch in order, some at a time; those of a large set that hold no kept sample as well."""
    if not len(kept):
        return
    samples = int(kept[-1]) + 1
    if samples <= LARGEST_ARRAY:
        starts = _places(kept, np.arange(0, samples + strip_rows, strip_rows))
        yield permutation(seed, epoch, np.flatnonzero(np.diff(starts)), stream=STRIP_STREAM)
        return
    count = -(-samples // strip_rows)
    strips = KeyedPermutation(seed, epoch, count, stream=KEYED_STRIP_STREAM)
    for first in range(0, count, STRIPS_AT_ONCE):
        yield strips.members(first, min(first + STRIPS_AT_ONCE, count))


def _places(kept: NDArray[np.int64] | range, samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many kept samples are below each of `samples`, in its shape; a range is one of neighbours."""
    if isinstance(kept, range):
        return np.clip(samples - kept.start, 0, len(kept))
    return np.searchsorted(kept, samples)


def _samples_of(kept: NDArray[np.int64] | range, taken: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the kept samples at the places `[first, stop)`, each `[2, n]`, of disjoint strips: int64 ascending."""
    places = np.concatenate(taken, axis=1)
    bounds = places[:, np.argsort(places[0])].T.tolist()
    if isinstance(kept, range):
        return np.concatenate([np.arange(kept.start + first, kept.start + stop) for first, stop in bounds])
    return np.concatenate([kept[first:stop] for first, stop in bounds])


def cut_batches(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Cut `order[n]` into batches of `batch_size` samples; the last one may have fewer, or one more.

    A last batch of one sample joins the batch before it, since batch norm cannot train on one sample.
    """
    starts = list(range(0, len(order), batch_size))
    if batch_size > 1 and len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    return [order[a:b] for a, b in zip(starts, [*starts[1:], len(order)], strict=True)] if starts else []
