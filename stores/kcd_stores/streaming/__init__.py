"""A store's rows, epoch by epoch, read ahead of the training loop under a memory budget."""
