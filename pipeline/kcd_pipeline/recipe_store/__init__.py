"""The store that a recipe asks for: its origin, its encoding, and the one place that opens or creates it."""

from kcd_pipeline.recipe_store.encoding import (
    AUTO,
    NewEncoding,
    new_encoding,
    new_layout,
    refusals_as_failures,
    required_encoding,
)
from kcd_pipeline.recipe_store.opening import open_or_create
from kcd_pipeline.recipe_store.origin import expected_origin, require_made_from
from kcd_pipeline.recipe_store.source import StoreSource, Wording

__all__ = [
    "AUTO",
    "NewEncoding",
    "StoreSource",
    "Wording",
    "expected_origin",
    "new_encoding",
    "new_layout",
    "open_or_create",
    "refusals_as_failures",
    "require_made_from",
    "required_encoding",
]
