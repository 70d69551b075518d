"""Shares of classes: of what a stage keeps, and of what it draws. Letters: N samples, n of them, K kept, C classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.policies.protocol import Situation


@dataclass(frozen=True, kw_only=True, eq=False)
class Classes:
    """The classes that a policy keeps in balance; without `condense.balance`, all samples are of one class.

    Attributes
    ----------
    of
        `[N]` int64: the class of each sample, 0 to C-1; each has a sample.
    sizes
        `[C]` int64: N_c, the number of samples of each class.
    """

    of: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def members(self) -> list[NDArray[np.int64]]:
        """Return the samples of each class, ascending."""
        return np.split(np.argsort(self.of, kind="stable"), np.cumsum(self.sizes)[:-1])

    def floors(self, count: int) -> NDArray[np.int64]:
        """Return the share of each class in `count` samples, rounded down: floor(count * N_c / N), `[C]` int64."""
        samples = len(self.of)
        return np.array([count * size // samples for size in self.sizes.tolist()], dtype=np.int64)


def balanced_classes(situation: Situation) -> Classes:
    """Return the classes of the samples, or one class of all of them, as `condense.balance` has it.

    Raises
    ------
    ValueError
        If classes are to be kept in balance and labels are not known.
    """
    if situation.config.balance == "none":
        return Classes(of=np.zeros(situation.samples, dtype=np.int64), sizes=np.array([situation.samples]))
    if situation.labels is None:
        raise ValueError("condense.balance is class, but the classes of the samples are not known")
    _, of, sizes = np.unique(situation.labels, return_inverse=True, return_counts=True)
    return Classes(of=of.astype(np.int64), sizes=sizes.astype(np.int64))


def places_within(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each member of `classes[n]` among those of its class, from 0, in the order given."""
    by_class = np.argsort(classes, kind="stable")
    in_order = classes[by_class]
    places = np.empty(len(classes), dtype=np.int64)
    places[by_class] = np.arange(len(classes)) - np.searchsorted(in_order, in_order)
    return places


def kept_of(order: NDArray[np.integer], keep: int, classes: Classes) -> NDArray[np.bool_]:
    """Return which of all samples in `order[N]`, the best first, are kept: `[N]` bool, in that order, K of them True.

    The first floor(K * N_c / N) of each class are kept, and the first of all others until there are K.
    """
    of = classes.of[order]
    kept: NDArray[np.bool_] = places_within(of) < classes.floors(keep)[of]
    others = np.flatnonzero(~kept)
    kept[others[: keep - int(np.count_nonzero(kept))]] = True
    return kept
