"""The samples of an epoch and how often each is drawn: pure functions of (seed, epoch) and the labels.

Letters: N samples, K classes that have samples, n draws of an epoch, m samples that are drawn.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kcd_stores.philox import BALANCE_STREAM, CLASS_STREAM, permutation


class Drawn(NamedTuple):
    """The samples of an epoch.

    Attributes
    ----------
    samples
        `[m]` int64, ascending.
    times
        `[m]` int64, at least 1: how often each is drawn; None: once.
    """

    samples: NDArray[np.int64]
    times: NDArray[np.int64] | None = None

    @property
    def draws(self) -> int:
        """n, the number of draws."""
        return len(self.samples) if self.times is None else int(self.times.sum())


def draw_balanced(labels: NDArray[np.int64], seed: int, epoch: int, count: int) -> Drawn:
    """Draw `count` samples: equally many of each class, and each sample of a class equally often, both to within one.

    The classes that are drawn once more, and the samples of each class that are, come first in an order that depends on
    (seed, epoch, class or sample). A class without samples is not drawn.

    Parameters
    ----------
    labels
        `[N]` int64.
    """
    classes, of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = np.full(len(classes), count // len(classes))
    first = permutation(seed, epoch, classes, stream=CLASS_STREAM)[: count % len(classes)]
    quotas[np.searchsorted(classes, first)] += 1
    each, more = np.divmod(quotas, sizes)
    times = each[of]
    for number, members in enumerate(np.split(np.argsort(of, kind="stable"), np.cumsum(sizes)[:-1])):
        times[permutation(seed, epoch, members, stream=BALANCE_STREAM)[: more[number]]] += 1
    samples = np.flatnonzero(times)
    return Drawn(samples, times[samples])
