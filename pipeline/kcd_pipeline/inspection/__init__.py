"""Facts of a store or a run, for people and for machines."""
