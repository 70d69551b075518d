"""Facts that belong to a run, not to a store: the student's values, and the plans made from them."""
