"""Opening a store for reading, with a line about what it lacks, without what makes stores: that would load torch."""

from kcd_pipeline.progress import say
from kcd_stores import KnowledgeStore, Where


def open_store(where: Where, *, features: bool = False) -> KnowledgeStore:
    """Open the store at `where` for reading, and say what it lacks, if anything; see `KnowledgeStore.open`."""
    store = KnowledgeStore.open(where, features=features)
    if store.notice is not None:
        say(store.notice)
    return store
