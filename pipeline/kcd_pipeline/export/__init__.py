"""The condensed set of a run, written as a store of its own."""
