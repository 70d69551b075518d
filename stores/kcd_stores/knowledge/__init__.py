"""The knowledge store: what it is made of on disk, and how it is read, written, counted and verified.

store, writer           read a store; write one
encoded_block           a block while it is made, piece by piece
layout, attributes      the division into blocks and chunks; what a store says of itself, validated
arrays, group, creation the arrays that these ask for; the zarr group, opened; a new one, made
records, ledger, shards the record of complete blocks: files, entries (ledger_writer writes them); fast reads
inventory, verify       counts of files and bytes; every checksum read
condensed               the arrays of a condensed set
description, fidelity   differences of two descriptions; an encoding measured
"""

from kcd_stores.knowledge.condensed import (
    CONDENSED_KEY,
    DIGEST_KEY,
    WEIGHTED_KEY,
    CondensedRows,
    condensed_from,
    is_condensed,
    read_condensed,
    write_condensed,
)
from kcd_stores.knowledge.description import Difference, difference_lines, differences, flatten
from kcd_stores.knowledge.encoded_block import EncodedBlock
from kcd_stores.knowledge.fidelity import Fidelity, log_softmax, measure_fidelity
from kcd_stores.knowledge.group import is_knowledge_store
from kcd_stores.knowledge.layout import Layout, choose_layout, piece_rows
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.knowledge.verify import Verdict, verify_store
from kcd_stores.knowledge.writer import KnowledgeWriter

__all__ = [
    "CONDENSED_KEY",
    "DIGEST_KEY",
    "WEIGHTED_KEY",
    "CondensedRows",
    "Difference",
    "EncodedBlock",
    "Fidelity",
    "KnowledgeStore",
    "KnowledgeWriter",
    "Layout",
    "Verdict",
    "choose_layout",
    "condensed_from",
    "difference_lines",
    "differences",
    "flatten",
    "is_condensed",
    "is_knowledge_store",
    "log_softmax",
    "measure_fidelity",
    "piece_rows",
    "read_condensed",
    "verify_store",
    "write_condensed",
]
