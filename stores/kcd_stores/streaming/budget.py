"""The choice of how a store is streamed: whole views where two of them fit a memory budget, else the block shuffle.

Rows are held packed (`kcd_stores.Packing`), and the budget counts them so. It decides nothing else: all budgets that
lead to the same way of streaming lead to the same order of samples.
"""

from dataclasses import dataclass

from kcd_stores.errors import Remedy, StoreUsageError
from kcd_stores.sizes import human_bytes
from kcd_stores.streaming.order import WindowSizes, choose_window_sizes
from kcd_stores.streaming.protocol import RowSource


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """A way of streaming one store, and the memory that it takes.

    Attributes
    ----------
    window_sizes
        The sizes of the block shuffle; None if whole views are held.
    whole_bytes
        Bytes of two whole views.
    held_bytes
        Bytes of the rows that are held at most: two whole views, or two windows with the partners of their samples.
    memory
        The budget in bytes. The part that `held_bytes` leaves may hold partners that wait for their window.
    """

    window_sizes: WindowSizes | None
    whole_bytes: int
    held_bytes: int
    memory: int

    def describe(self, setting: str = "memory") -> str:
        """Return the way of streaming and the sizes that decide the order of an epoch, for people and for comparison.

        Two runs see their samples in the same order if their descriptions are equal.

        Parameters
        ----------
        setting
            The name by which the reader knows the budget.
        """
        limit, sizes = human_bytes(self.whole_bytes), self.window_sizes
        if sizes is None:
            return f"whole views ({setting} of {limit} or more)"
        return f"block shuffle (windows of {sizes.window_rows}, strips of {sizes.strip_rows}; {setting} below {limit})"


def plan_streaming(
    store: RowSource, *, memory: int, batch_size: int, partners: bool, held_decoded: bool = False
) -> Streaming:
    """Choose the way of streaming for a budget of `memory` bytes.

    Parameters
    ----------
    batch_size
        Samples of a batch: up to `batch_size + 1` rows are carried over from window to window.
    partners
        True if samples may have partners, whose rows are held with theirs.
    held_decoded
        Reckon with decoded rows, as versions did that held them so, to find the mode of a run that one of them began.
        Packed rows are held all the same.

    Raises
    ------
    StoreUsageError
        If the budget does not hold two windows.
    """
    row_bytes = store.packing.decoded_bytes if held_decoded else store.packing.row_bytes
    whole = 2 * store.layout.samples * row_bytes
    if whole <= memory:
        return Streaming(window_sizes=None, whole_bytes=whole, held_bytes=whole, memory=memory)
    sizes = choose_window_sizes(store.layout, store.packing.decoded_bytes)
    rows = sizes.window_rows + sizes.strip_rows + batch_size + 1
    held = 2 * rows * row_bytes * (2 if partners else 1)
    if held > memory:
        needed = min(held, whole)
        with_partners = " and their partners" if partners else ""
        raise StoreUsageError(
            f"the memory budget is {human_bytes(memory)}, but streaming the store at {store.location} takes at least "
            f"{human_bytes(needed)} ({needed} bytes): two windows of {sizes.window_rows:,} rows of "
            f"{store.packing.columns:,} numbers{with_partners} (two whole views take {human_bytes(whole)}).",
            remedy=Remedy.RAISE_MEMORY,
        )
    return Streaming(window_sizes=sizes, whole_bytes=whole, held_bytes=held, memory=memory)
