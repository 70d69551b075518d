"""A memory budget decides how a store is streamed: whole views where they fit twice, a block shuffle where not.

The budget chooses the mode and nothing else: within a mode, orders are the same for every budget.
"""

from dataclasses import dataclass

from kcd_stores.errors import StoreUsageError
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.sizes import human_bytes
from kcd_stores.streaming.order import Cut, choose_cut


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """How a store is streamed, and what it takes.

    Attributes
    ----------
    cut
        Of the block shuffle; None where whole views are held.
    description
        The mode and the sizes that the order of an epoch hangs on, for people and for comparison: two runs whose
        descriptions are equal see their samples in the same order.
    held_bytes
        Rows held at the most: two whole views, or two windows, with the partners of their samples.
    memory
        The budget. What `held_bytes` leaves of it may hold partners that are not in a window yet.
    """

    cut: Cut | None
    description: str
    held_bytes: int
    memory: int


def plan_streaming(store: KnowledgeStore, *, memory: int, batch_size: int, partners: bool) -> Streaming:
    """The mode for a budget of `memory` bytes, and what it takes.

    Parameters
    ----------
    batch_size
        Up to a batch and one are carried from a window to the next.
    partners
        Each sample may be perturbed by a partner, whose row is then held with it.

    Raises
    ------
    StoreUsageError
        If not even two windows fit.
    """
    layout, row = store.layout, store.row_bytes
    whole = 2 * layout.samples * row
    if whole <= memory:
        description = f"whole views (store.memory of {human_bytes(whole)} or more)"
        return Streaming(cut=None, description=description, held_bytes=whole, memory=memory)
    cut = choose_cut(layout, row)
    window = (cut.window_rows + cut.strip_rows + batch_size + 1) * row * (2 if partners else 1)
    if 2 * window > memory:
        needed = min(2 * window, whole)
        with_partners = " and their partners" if partners else ""
        raise StoreUsageError(
            f"store.memory is {human_bytes(memory)}, but streaming the store at {store.location} takes at least "
            f"{human_bytes(needed)} ({needed} bytes): two windows of {cut.window_rows:,} rows of {store.columns:,} "
            f"numbers{with_partners} (two whole views take {human_bytes(whole)}). Raise store.memory."
        )
    description = (
        f"block shuffle (windows of {cut.window_rows}, strips of {cut.strip_rows}; "
        f"store.memory below {human_bytes(whole)})"
    )
    return Streaming(cut=cut, description=description, held_bytes=2 * window, memory=memory)
