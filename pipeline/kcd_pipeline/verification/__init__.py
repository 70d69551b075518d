"""Checks of a store: whole and undamaged, and still what its teacher says."""
