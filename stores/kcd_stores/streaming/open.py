"""The stream that suits a way of streaming: one of three classes behind the protocol `EpochStream`.

whole views     `WholeViews`: one portion an epoch; two views are held at most
shared views    `SharedViews`: the same for several ranks, each of which holds its own rows alone
block shuffle   `BlockShuffle`: one portion a window; two windows are held at most, whatever the size of the store

Whole views and shared views have the same order, a permutation of all kept samples; the block shuffle has another.
"""

from collections.abc import Iterable
from pathlib import Path

from kcd_stores.streaming.block_shuffle import BlockShuffle
from kcd_stores.streaming.budget import Streaming
from kcd_stores.streaming.dealt_reads import Exchange
from kcd_stores.streaming.order import ONLY_RANK, Share
from kcd_stores.streaming.protocol import EpochStream, RowSource
from kcd_stores.streaming.shared_views import SharedViews
from kcd_stores.streaming.whole_views import WholeViews


def open_stream(
    store: RowSource,
    views: Iterable[int],
    streaming: Streaming,
    *,
    batch_size: int,
    scratch: Path | None = None,
    share: Share = ONLY_RANK,
    exchange: Exchange | None = None,
) -> EpochStream:
    """Return the stream for a way of streaming that `plan_streaming` chose.

    Parameters
    ----------
    views
        The views of the epochs that will be read, in order.
    batch_size
        Samples of a batch, over all ranks.
    scratch
        Folder for rows that do not fit the budget; the system's folder for temporary files if None.
    share
        The share of the rank that reads: only its rows are held. The order of samples is the same for all ranks.
    exchange
        The way to the other ranks, if there are any: each then reads its part of the store, and all must read the same
        epochs. Without it, each rank reads every chunk that holds one of its samples.
    """
    if streaming.window_sizes is not None:
        return BlockShuffle(store, streaming, batch_size=batch_size, scratch=scratch, share=share, exchange=exchange)
    if share.ranks > 1:
        return SharedViews(store, share, batch_size=batch_size, exchange=exchange)
    return WholeViews(store, views)
