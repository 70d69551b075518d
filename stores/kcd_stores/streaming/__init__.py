"""A store's rows handed out epoch by epoch, within a memory budget, with the next rows read in the background."""
