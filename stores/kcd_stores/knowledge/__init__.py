"""The knowledge store: what it is made of on disk, and how it is read, written, counted and verified.

store, writer           read a store; write one
layout, group, creation the division into blocks and chunks; the zarr group; its arrays, made
ledger, shards          the record of complete blocks; arrays read fast
inventory, verify       counts of files and bytes; every checksum read
condensed               the arrays of a condensed set
description, fidelity   differences of two descriptions; an encoding measured
"""

from kcd_stores.knowledge.condensed import (
    CONDENSED_KEY,
    CondensedRows,
    is_condensed,
    read_condensed,
    write_condensed,
)
from kcd_stores.knowledge.description import Difference, difference_lines, differences, flatten
from kcd_stores.knowledge.fidelity import Fidelity, log_softmax, measure_fidelity
from kcd_stores.knowledge.layout import Layout, choose_layout
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.knowledge.verify import Verdict, verify_store
from kcd_stores.knowledge.writer import KnowledgeWriter

__all__ = [
    "CONDENSED_KEY",
    "CondensedRows",
    "Difference",
    "Fidelity",
    "KnowledgeStore",
    "KnowledgeWriter",
    "Layout",
    "Verdict",
    "choose_layout",
    "difference_lines",
    "differences",
    "flatten",
    "is_condensed",
    "log_softmax",
    "measure_fidelity",
    "read_condensed",
    "verify_store",
    "write_condensed",
]
