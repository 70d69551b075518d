"""The condensed set of a run, written as a store of its own."""

from kcd_pipeline.export.condensed_set import CondensedSet
from kcd_pipeline.export.condensed_store import Export, export_condensed

__all__ = ["CondensedSet", "Export", "export_condensed"]
