"""Facts that belong to a run and not to a knowledge store: values of the samples, and the plans made from them."""
