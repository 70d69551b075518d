"""The partners of an epoch, which windows take in one order, and which a store is read for in another.

They are cut into *ranges* of neighbouring samples, each of which is put in order by itself, so that no more than one is
in memory; all of them lie in arrays of a scratch. Letters: N samples, K kept, m partners.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_stores.scratch import Scratch, pieces
from kcd_stores.streaming.order import Share
from kcd_stores.streaming.protocol import Reading

RANGE_ROWS = 1 << 20  # samples of a range, about: a range has whole chunks


@dataclass(frozen=True, kw_only=True, eq=False)
class PartnerRange:
    """The partners in one range.

    Attributes
    ----------
    partner, rank
        `[m]` int64 and int32: the partners, in the order in which windows take them, and the ranks that need them.
    places
        Int64: the places of the rows of one rank among all that it takes, by ascending partner.
    """

    partner: NDArray[np.int64]
    rank: NDArray[np.int32]
    places: NDArray[np.int64]

    def needed(self, share: Share) -> NDArray[np.int64]:
        """Return the partners that the rank of `share` needs, ascending; some may occur several times."""
        return np.sort(self.partner[self.rank == share.rank])


class PartnerPlaces:
    """The places in which the rows of partners are taken, by range.

    Parameters
    ----------
    share
        That of the rank whose places are asked for.
    samples, chunk_rows
        N, and the rows of a chunk of the store.

    Attributes
    ----------
    partners
        How many partners there are, counted as often as they are needed, on all ranks together.
    own
        How many were added for the rank of `share`.
    """

    def __init__(self, reading: Reading, share: Share, samples: int, *, chunk_rows: int, scratch: Scratch) -> None:
        self._rows = max(RANGE_ROWS // chunk_rows, 1) * chunk_rows
        self._share, counts = share, _counts(reading, self._rows, -(-samples // self._rows))
        self._starts = np.cumsum(counts) - counts
        self._filled = self._starts.copy()
        self.partners, self.own = int(counts.sum()), 0
        self._partner = scratch.empty(self.partners, np.int64)
        self._place = scratch.empty(self.partners, np.int64)
        self._rank = scratch.empty(self.partners, np.int32)

    def add(self, share: Share, partners: NDArray[np.int64]) -> None:
        """Add the `partners[m]` that the rank of `share` takes next."""
        order = np.argsort(partners // self._rows, kind="stable")
        in_order = partners[order]
        ranges = in_order // self._rows
        at = self._filled[ranges] + np.arange(len(ranges)) - np.searchsorted(ranges, ranges)
        self._partner[at], self._rank[at] = in_order, share.rank
        if share == self._share:
            self._place[at] = self.own + order
            self.own += len(partners)
        self._filled += np.bincount(ranges, minlength=len(self._filled))

    def by_sample(self) -> Iterator[PartnerRange]:
        """Yield the ranges that have partners, ascending: the same on all ranks that were told of all of them."""
        for start, stop in zip(self._starts.tolist(), self._filled.tolist(), strict=True):
            if start == stop:
                continue
            partner, rank, place = self._partner[start:stop], self._rank[start:stop], self._place[start:stop]
            own = rank == self._share.rank
            yield PartnerRange(partner=partner, rank=rank, places=place[own][np.argsort(partner[own])])


def _counts(reading: Reading, rows: int, ranges: int) -> NDArray[np.int64]:
    """Return the number of partners in each range of `rows` samples, as often as they are needed, int64."""
    counts = np.zeros(ranges, np.int64)
    for piece in pieces(0 if reading.partner is None else len(reading.partner)):
        assert reading.partner is not None
        has_one = reading.partner[piece] >= 0
        partners = reading.partner[piece][has_one]
        if reading.times is not None:
            partners = np.repeat(partners, reading.times[piece][has_one])
        counts += np.bincount(partners // rows, minlength=ranges)
    return counts
