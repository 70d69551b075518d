"""Contracts of streaming: a `RowSource` is read, a `Reading` asks for one epoch of it, `Portion`s are handed out.

Letters: N samples, V views, B blocks in a view, C columns of a row (logits, and features where they are read),
W bytes of a packed row, K kept samples, n samples of one portion.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Packing
from kcd_stores.knowledge.layout import Layout
from kcd_stores.philox import permutation
from kcd_stores.scratch import pieces

EMPTY = np.empty(0, np.int64)


class RowSource(Protocol):
    """Rows of each view, read packed, by ranges of samples. `KnowledgeStore` is one; tests use simpler ones."""

    @property
    def location(self) -> object:
        """The place of the rows, as messages name it."""
        ...

    @property
    def layout(self) -> Layout:
        """Numbers of views and samples, and the rows that form a block and a chunk."""
        ...

    @property
    def packing(self) -> Packing:
        """The form in which rows are read and held, which decodes them."""
        ...

    @property
    def concurrent_reads(self) -> int:
        """The number of calls of `read_packed` that are worth making at the same time, from different threads."""
        ...

    def complete(self) -> NDArray[np.bool_]:
        """Return `[V, B]` bool: True for each block that can be read."""
        ...

    def read_packed(self, view: int, start: int, stop: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Read the packed rows `[stop - start, W]` of samples `start` to `stop - 1`, into `out` where it is given."""
        ...


class Rows(Protocol):
    """Rows looked up by sample: `rows[index[n]]` is `[n, C]`, in a floating dtype. An array `[N, C]` is one."""

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[Any]:
        """Return the rows `[n, C]` of the samples `index[n]`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """A request for one epoch.

    Attributes
    ----------
    seed, epoch
        Numbers that decide the order of the samples.
    view
        The view whose rows are read.
    kept
        `[K]` int64, ascending: the samples that are handed out, each of them once, or as often as `times` says. All of
        a large set, or neighbours in it, may be a `range` of step 1, which takes no memory.
    partner
        `[K]` int64: for each kept sample another one whose row is held together with it, or -1. None if nobody has one.
    times
        `[K]` int64, at least 1: how often each kept sample is handed out. None: once.
    """

    seed: int
    epoch: int
    view: int
    kept: NDArray[np.int64] | range
    partner: NDArray[np.int64] | None = None
    times: NDArray[np.int64] | None = None

    def same(self, other: "Reading") -> bool:
        """Return True if both ask for the same rows in the same order."""
        return (
            (self.seed, self.epoch, self.view) == (other.seed, other.epoch, other.view)
            and _same_samples(self.kept, other.kept)
            and _same_numbers(self.partner, other.partner)
            and _same_numbers(self.times, other.times)
        )

    def order(self) -> NDArray[np.int64]:
        """Return the kept samples in a random order of the epoch, each as often as it is handed out: `[n]` int64."""
        return permutation(self.seed, self.epoch, np.asarray(self.kept), times=self.times)

    def partners_of(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the partners of those of the kept `samples[n]` that have one, in the order of `samples`."""
        if self.partner is None:
            return samples[:0]
        partners = self.partner[np.searchsorted(self.kept, samples)]
        return partners[partners >= 0]


def _same_samples(one: NDArray[np.int64] | range, other: NDArray[np.int64] | range) -> bool:
    """Return True if both are the same samples, without an array of a range."""
    if isinstance(one, range) and isinstance(other, range):
        return one == other
    return _same_numbers(np.asarray(one), np.asarray(other)) if len(one) == len(other) else False


def _same_numbers(one: NDArray[np.int64] | None, other: NDArray[np.int64] | None) -> bool:
    """Return True if both have the same numbers, without an array of what is compared; None has no numbers."""
    one, other = _or_empty(one), _or_empty(other)
    if one is other:
        return True
    return len(one) == len(other) and all(np.array_equal(one[piece], other[piece]) for piece in pieces(len(one)))


def _or_empty(numbers: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return EMPTY if numbers is None else numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Portion:
    """A part of an epoch. Portions end where batches end.

    A stream keeps no portion that it has handed out. Drop your reference to it before you ask for the portion after the
    next one, or a third one takes up memory.

    Attributes
    ----------
    order
        `[n]` int64: samples in the order of training, one of them several times if the reading says so; n may be 0.
    rows
        The rows of these samples and of their partners.
    """

    order: NDArray[np.int64]
    rows: Rows


class EpochStream(Protocol):
    """A stream that hands out one epoch after the other."""

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """Yield the portions of the epoch `now`.

        Parameters
        ----------
        then
            The reading that will be asked for next, if it is known: the stream begins it in the background.

        Raises
        ------
        CorruptStoreError, IncompleteStoreError
            If a read failed; a failure in the background is raised when the portion is asked for.
        """
        ...

    def close(self) -> None:
        """Stop reading in the background, and wait for a read that has begun."""
        ...
