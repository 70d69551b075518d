"""Compare records: groups of seeds, stores, costs. Pure functions, no files."""
