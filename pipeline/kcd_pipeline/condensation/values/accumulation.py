"""How the worths of a sample's visits make its value. Letters: N samples, n samples visited; V value, F frequency."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ogve import update_values
from kcd_stores.scratch import pieces


def running_mean(
    value: NDArray[np.float64],
    frequency: NDArray[np.int32],
    latest: NDArray[np.float32],
    index: NDArray[np.int64],
    worth: NDArray[np.float32],
) -> None:
    """Record one visit of each sample of `index[n]` with its `worth[n]`, in place: V becomes the running mean (eq. 12).

    Parameters
    ----------
    value, frequency, latest
        `[N]`: V, F, and the worth at the latest visit.
    index
        A sample may occur once.

    Raises
    ------
    ValueError
        If a worth is not finite.
    """
    update_values(value, frequency, index, worth)
    latest[index] = worth


def visits(order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield places in `order[n]`, each of them once, such that those of a sample come one after the other.

    Each is `[m]` int64, ascending, and has a sample once: of a piece of the order, the first visits, then the second
    ones, and so on. Where no sample is repeated there is one for each piece, of all its places.
    """
    for piece in pieces(len(order)):
        by_sample = np.argsort(order[piece], kind="stable")
        in_order = order[piece][by_sample]
        number = np.empty(len(in_order), dtype=np.int64)
        number[by_sample] = np.arange(len(in_order)) - np.searchsorted(in_order, in_order)
        for visit in np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1]):
            yield piece.start + visit


def count_forgetting(
    value: NDArray[np.float64],
    frequency: NDArray[np.int32],
    latest: NDArray[np.float32],
    index: NDArray[np.int64],
    worth: NDArray[np.float32],
) -> None:
    """Record one visit of each sample of `index[n]`, in place, where `worth[n]` is 1 if it was predicted wrong, else 0.

    V becomes the number of forgetting events: visits with a wrong prediction right after one with a right prediction.
    Toneva et al., "An empirical study of example forgetting during deep neural network learning" (ICLR 2019). They put
    samples that were never learned above all others; here V is F until the first right prediction. No count can be as
    large, since an event takes two visits, so V = F tells that a sample was never learned.

    Parameters
    ----------
    value, frequency, latest
        `[N]`: V, F, and the worth at the latest visit.
    index
        A sample may occur once.

    Raises
    ------
    ValueError
        If a worth is not finite.
    """
    before, visits = value[index], frequency[index]
    learned = before < visits  # NaN, never visited, is not
    forgotten = learned & (latest[index] == 0) & (worth > 0)
    count = np.where(learned, before + forgotten, np.where(worth > 0, visits + 1.0, 0.0))
    running_mean(value, frequency, latest, index, worth)
    value[index] = count
