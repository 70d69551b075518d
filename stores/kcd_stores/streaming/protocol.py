"""What streaming an epoch means, in either mode: a `Reading` goes in, `Portion`s come out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Rows(Protocol):
    """Rows by sample: `rows[index[B]]` is `[B, C]` in the store's decoded dtype. An array `[N, C]` is one, if slow."""

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[Any]:
        """Rows of samples `index`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What one epoch reads: the samples `kept[K]` (ascending) as their `view`, ordered by (seed, epoch).

    `partner[K]`, where given, names for each of them a sample whose row of the same view is held with it; -1 for none.
    """

    seed: int
    epoch: int
    view: int
    kept: NDArray[np.int64]
    partner: NDArray[np.int64] | None = None

    def same(self, other: "Reading") -> bool:
        """Both read the same."""
        mine, theirs = (_partners(reading) for reading in (self, other))
        return (
            (self.seed, self.epoch, self.view) == (other.seed, other.epoch, other.view)
            and np.array_equal(self.kept, other.kept)
            and np.array_equal(mine, theirs)
        )


def _partners(reading: Reading) -> NDArray[np.int64]:
    return np.empty(0, np.int64) if reading.partner is None else reading.partner


@dataclass(frozen=True, kw_only=True, eq=False)
class Portion:
    """`order[n]`: samples in the order of training; `rows` holds theirs and their partners'.

    Portions end where batches do; an `order` may be empty. Let go of a portion before you ask for the next but one:
    what is still referred to stays in memory.
    """

    order: NDArray[np.int64]
    rows: Rows


class EpochStream(Protocol):
    """Hands out epochs, in order."""

    def read(self, now: Reading, then: Reading | None = None) -> Iterator[Portion]:
        """The portions of `now`; `then`, where it is known, is what will be asked for next, and is begun ahead.

        An error of a background read is raised by the `next()` that would have handed out what was read.
        """
        ...

    def close(self) -> None:
        """Stop reading ahead and wait for the read under way."""
        ...
