"""Stores for cached teacher knowledge, usable without the pipeline and without torch."""

from kcd_stores.encodings import (
    ENCODINGS,
    Encoding,
    Packing,
    WithFeatures,
    fitted_pca,
    make_encoding,
    row_bytes,
    widened_range,
)
from kcd_stores.errors import (
    CorruptStoreError,
    IncompleteStoreError,
    OutOfRangeError,
    Remedy,
    StoreError,
    StoreInUseError,
    StoreMismatchError,
    StoreReplacedError,
    StoreUsageError,
)
from kcd_stores.knowledge import (
    CondensedRows,
    Difference,
    EncodingTrial,
    Fidelity,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Verdict,
    choose_layout,
    differences,
    is_condensed,
    measure_fidelity,
    read_condensed,
    trial_lines,
    try_encodings,
    verify_store,
    write_condensed,
)
from kcd_stores.runs.plan import NO_PARTNER, Plan, keep_all
from kcd_stores.runs.plans import PlanStore
from kcd_stores.runs.values import ValueStore
from kcd_stores.sizes import human_bytes, parse_bytes
from kcd_stores.storage import (
    FolderStorage,
    Storage,
    Where,
    is_vacant,
    masked,
    one_writer,
    open_storage,
    same_place,
)
from kcd_stores.streaming.batches import batches
from kcd_stores.streaming.blended_stores import BlendedStores
from kcd_stores.streaming.budget import Streaming, plan_streaming
from kcd_stores.streaming.dealt_reads import Exchange
from kcd_stores.streaming.open import open_stream
from kcd_stores.streaming.order import ONLY_RANK, Share, cut_batches
from kcd_stores.streaming.protocol import EpochStream, Portion, Reading, Rows, RowSource
from kcd_stores.streaming.rows import HeldRows, ViewRows
from kcd_stores.streaming.whole_views import ViewStream

__all__ = [
    "ENCODINGS",
    "NO_PARTNER",
    "ONLY_RANK",
    "BlendedStores",
    "CondensedRows",
    "CorruptStoreError",
    "Difference",
    "Encoding",
    "EncodingTrial",
    "EpochStream",
    "Exchange",
    "Fidelity",
    "FolderStorage",
    "HeldRows",
    "IncompleteStoreError",
    "KnowledgeStore",
    "KnowledgeWriter",
    "Layout",
    "OutOfRangeError",
    "Packing",
    "Plan",
    "PlanStore",
    "Portion",
    "Reading",
    "Remedy",
    "RowSource",
    "Rows",
    "Share",
    "Storage",
    "StoreError",
    "StoreInUseError",
    "StoreMismatchError",
    "StoreReplacedError",
    "StoreUsageError",
    "Streaming",
    "ValueStore",
    "Verdict",
    "ViewRows",
    "ViewStream",
    "Where",
    "WithFeatures",
    "batches",
    "choose_layout",
    "cut_batches",
    "differences",
    "fitted_pca",
    "human_bytes",
    "is_condensed",
    "is_vacant",
    "keep_all",
    "make_encoding",
    "masked",
    "measure_fidelity",
    "one_writer",
    "open_storage",
    "open_stream",
    "parse_bytes",
    "plan_streaming",
    "read_condensed",
    "row_bytes",
    "same_place",
    "trial_lines",
    "try_encodings",
    "verify_store",
    "widened_range",
    "write_condensed",
]
