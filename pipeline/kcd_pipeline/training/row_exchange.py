"""The way in which ranks send each other rows of the store that one of them has read."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from kcd_pipeline.training.ranks import Ranks, rank_wait
from kcd_stores import Exchange


class RowExchange:
    """Exchange of rows by gloo, in a group of its own: a thread reads ahead while training exchanges gradients.

    All ranks must make one at the same time. It ends with the process's membership of the ranks.
    """

    def __init__(self) -> None:
        group = distributed.new_group(backend="gloo", timeout=rank_wait())
        assert isinstance(group, distributed.ProcessGroup), "every rank is a member"
        self._group = group

    def swap(self, rows: NDArray[np.uint8], sent: Sequence[int], received: Sequence[int]) -> NDArray[np.uint8]:
        """Send some of `rows[m, W]` to each rank; return those that come from each, see `kcd_stores.Exchange`."""
        found = np.empty((sum(received), rows.shape[1]), np.uint8)
        distributed.all_to_all_single(
            torch.from_numpy(found), torch.from_numpy(rows), list(received), list(sent), group=self._group
        )
        return found


def open_exchange(ranks: Ranks) -> Exchange | None:
    """Return the exchange of several ranks, all of which must call this; None for a process that is alone."""
    return RowExchange() if ranks.several else None
