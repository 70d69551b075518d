"""Stores for cached teacher knowledge, usable without the pipeline and without torch."""

from kcd_stores.condensed import CondensedRows, is_condensed, read_condensed, write_condensed
from kcd_stores.creation import is_vacant
from kcd_stores.description import Difference, differences
from kcd_stores.encodings import ENCODINGS, Encoding, WithFeatures, make_encoding, row_bytes, widened_range
from kcd_stores.epochs import EpochStream, Portion, Reading, Rows
from kcd_stores.errors import (
    CorruptStoreError,
    IncompleteStoreError,
    StoreError,
    StoreMismatchError,
    StoreUsageError,
)
from kcd_stores.fidelity import Fidelity, measure_fidelity
from kcd_stores.knowledge import KnowledgeStore
from kcd_stores.layout import Layout, choose_layout
from kcd_stores.location import Location
from kcd_stores.lock import one_writer
from kcd_stores.memory import Streaming, plan_streaming
from kcd_stores.plans import NO_PARTNER, Plan, PlanStore, keep_all
from kcd_stores.reading import HeldRows, ViewRows
from kcd_stores.shuffle import WHOLE, Share
from kcd_stores.sizes import human_bytes, parse_bytes
from kcd_stores.streaming import ViewStream, open_stream
from kcd_stores.values import ValueStore
from kcd_stores.verify import Verdict, verify_store

__all__ = [
    "ENCODINGS",
    "NO_PARTNER",
    "WHOLE",
    "CondensedRows",
    "CorruptStoreError",
    "Difference",
    "Encoding",
    "EpochStream",
    "Fidelity",
    "HeldRows",
    "IncompleteStoreError",
    "KnowledgeStore",
    "Layout",
    "Location",
    "Plan",
    "PlanStore",
    "Portion",
    "Reading",
    "Rows",
    "Share",
    "StoreError",
    "StoreMismatchError",
    "StoreUsageError",
    "Streaming",
    "ValueStore",
    "Verdict",
    "ViewRows",
    "ViewStream",
    "WithFeatures",
    "choose_layout",
    "differences",
    "human_bytes",
    "is_condensed",
    "is_vacant",
    "keep_all",
    "make_encoding",
    "measure_fidelity",
    "one_writer",
    "open_stream",
    "parse_bytes",
    "plan_streaming",
    "read_condensed",
    "row_bytes",
    "verify_store",
    "widened_range",
    "write_condensed",
]
