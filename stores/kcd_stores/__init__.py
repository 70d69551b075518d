"""Stores for cached teacher knowledge, usable without the pipeline and without torch."""

from kcd_stores.description import Difference, differences
from kcd_stores.encodings import ENCODINGS, Encoding, make_encoding, row_bytes, widened_range
from kcd_stores.errors import (
    CorruptStoreError,
    IncompleteStoreError,
    StoreError,
    StoreMismatchError,
    StoreUsageError,
)
from kcd_stores.knowledge import KnowledgeStore, is_vacant
from kcd_stores.layout import Layout, choose_layout
from kcd_stores.location import Location
from kcd_stores.lock import one_writer
from kcd_stores.plans import NO_PARTNER, Plan, PlanStore, keep_all
from kcd_stores.streaming import ViewStream
from kcd_stores.values import ValueStore
from kcd_stores.verify import Verdict, verify_store

__all__ = [
    "ENCODINGS",
    "NO_PARTNER",
    "CorruptStoreError",
    "Difference",
    "Encoding",
    "IncompleteStoreError",
    "KnowledgeStore",
    "Layout",
    "Location",
    "Plan",
    "PlanStore",
    "StoreError",
    "StoreMismatchError",
    "StoreUsageError",
    "ValueStore",
    "Verdict",
    "ViewStream",
    "choose_layout",
    "differences",
    "is_vacant",
    "keep_all",
    "make_encoding",
    "one_writer",
    "row_bytes",
    "verify_store",
    "widened_range",
]
