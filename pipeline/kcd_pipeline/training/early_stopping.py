"""Early stopping: the end of a training that has brought nothing for some epochs, decided by accuracies alone."""

from collections.abc import Sequence


def epochs_without_gain(accuracies: Sequence[float]) -> int:
    """Return how many epochs have passed since the best one, the first of several that are equally good.

    Parameters
    ----------
    accuracies
        Accuracy after each epoch done, in order.
    """
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) if accuracies else 0


def is_to_stop(accuracies: Sequence[float], patience: int) -> bool:
    """Return True once `patience` epochs in a row have brought no better accuracy.

    Every rank, and a run that is resumed, decides the same, for all of them know the same accuracies.
    """
    return epochs_without_gain(accuracies) >= patience
