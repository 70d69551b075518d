"""The contract of a policy: from the situation at a stage's opening to the choice of what the stage is taught.

Letters: N samples, K kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.scoring import ranking_scores
from kcd_pipeline.config import CondenseConfig
from kcd_stores import Plan, ValueStore
from kcd_stores.runs.plan import LARGEST_FACT, is_ascending
from kcd_stores.scratch import IN_MEMORY, Scratch, pieces


@dataclass(frozen=True, kw_only=True, eq=False)
class Situation:
    """All that a policy may know when a stage opens; its methods read the values after the epoch before.

    Attributes
    ----------
    values
        The values of the run, on disk.
    before
        The plan of the stage before.
    stage, opens
        The stage, from 1, and its first epoch.
    epochs
        Number of epochs of the whole run.
    keep
        K, the number of samples that `condense.schedule` keeps in this stage.
    labels
        `[N]` int64: the class of each sample; None if they are not known.
    config
        The section `condense`.
    seed
        Seed of all draws.
    memory
        Bytes that the choice may take.
    scratch
        Place of arrays of all samples; those that it has in files, which may be larger than memory, take none of these
        bytes.
    """

    values: ValueStore
    before: Plan
    stage: int
    opens: int
    epochs: int
    keep: int
    labels: NDArray[np.int64] | None
    config: CondenseConfig
    seed: int
    memory: int
    scratch: Scratch = IN_MEMORY

    @property
    def samples(self) -> int:
        """N."""
        return self.values.samples

    def value(self) -> NDArray[np.float64]:
        """Return V, `[N]` float64: the mean or the latest worth, as `condense.track` has it; NaN: never visited."""
        if self.config.track == "latest":
            return self.latest().astype(np.float64)
        return self.values.read(self.opens - 1, self.scratch)[0]

    def frequency(self) -> NDArray[np.int32]:
        """Return F, the number of visits of each sample, `[N]` int32."""
        return self.values.read(self.opens - 1, self.scratch)[1]

    def latest(self) -> NDArray[np.float32]:
        """Return the worth of each sample at its latest visit, `[N]` float32; NaN: never visited."""
        return self.values.read_latest(self.opens - 1, self.scratch)

    def scores(self) -> da.Array:
        """Return the scores that `kcd` ranks by, `[N]` float64, lazily; samples never visited have -inf."""
        return ranking_scores(self.values, epoch=self.opens - 1, stage=self.stage, config=self.config, seed=self.seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The samples that a stage is taught, their weights and their blends; validated when made.

    Attributes
    ----------
    kept
        `[K]` int64, ascending: the samples that are taught.
    weight
        `[K]` float32, above 0: the factor of the loss of each; None if all have 1.
    partner
        `[K]` int64: the dropped sample that is blended into each, `NO_PARTNER` where none is; None if none is at all.
    epsilon
        `[K]` float32, at least 0: the strength of each blend; given if `partner` is.
    facts
        Numbers about the choice, for people: int, float or None.

    Raises
    ------
    ValueError
        If `kept` is empty or not ascending, another array does not fit it, or a fact is no number.
    """

    kept: NDArray[np.int64]
    weight: NDArray[np.float32] | None = None
    partner: NDArray[np.int64] | None = None
    epsilon: NDArray[np.float32] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_array("kept", self.kept, np.int64, None)
        if not len(self.kept):
            raise ValueError("kept is empty, expected at least one sample")
        if self.kept[0] < 0 or not is_ascending(self.kept):
            raise ValueError("kept is not ascending, or has negative indices")
        if (self.partner is None) != (self.epsilon is None):
            raise ValueError("partner and epsilon are given together or not at all")
        size = len(self.kept)
        if self.weight is not None:
            _require_array("weight", self.weight, np.float32, size)
            for piece in pieces(size):
                if not (np.isfinite(self.weight[piece]).all() and (self.weight[piece] > 0).all()):
                    raise ValueError("weight has values that are not finite and above 0")
        if self.partner is not None:
            _require_array("partner", self.partner, np.int64, size)
            _require_array("epsilon", self.epsilon, np.float32, size)
        for name, fact in self.facts.items():
            if not (fact is None or (type(fact) in (int, float) and abs(fact) <= LARGEST_FACT)):
                raise ValueError(f"the fact {name} is {fact!r}, expected a number of moderate size or None")


def _require_array(name: str, array: object, dtype: type[np.generic], size: int | None) -> None:
    """Raise ValueError unless `array` is an array of one dimension, of that dtype, with `size` elements if given."""
    expected = f"an array [{'K' if size is None else size}] {np.dtype(dtype)}"
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is of type {type(array).__name__}, expected {expected}")
    if array.ndim != 1 or array.dtype != dtype or size not in (None, len(array)):
        raise ValueError(f"{name} is {list(array.shape)} {array.dtype}, expected {expected}")


def as_fact(number: float) -> float | None:
    """Return a score as a plan's facts can hold it; None if it is infinite, or larger than a plan's facts may be."""
    return number if abs(number) <= LARGEST_FACT else None


Policy = Callable[[Situation], Choice]
