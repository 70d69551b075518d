"""The contract of whatever provides the rows of a new store.

Extraction has a source over a teacher, export has one over the condensed set of a run.

Letters: C classes, D features.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import StoreConfig
from kcd_stores import KnowledgeStore


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The parts of messages that differ between the keys of a recipe and the options of a command.

    Attributes
    ----------
    encoding_key
        Name of the key or option that chose the encoding.
    data
        Name of the data that the encoding must fit.
    range_advice
        A sentence for a user whose numbers are outside the range of the encoding.
    space_advice
        A sentence for a user whose disk is too small. If it is None, the free space is not looked at.
    """

    encoding_key: str
    data: str
    range_advice: str
    space_advice: str | None = None


class StoreSource(Protocol):
    """Provides rows for trials, and the facts that a store of these rows records.

    Attributes
    ----------
    settings
        The `store` section of the recipe.
    samples
        Number of rows in each view.
    classes
        C.
    feature_columns
        D, or 0 if rows have no features.
    wording
        Parts of the messages to the user.
    """

    @property
    def settings(self) -> StoreConfig: ...

    @property
    def samples(self) -> int: ...

    @property
    def classes(self) -> int: ...

    @property
    def feature_columns(self) -> int: ...

    @property
    def wording(self) -> Wording: ...

    def trial_rows(self, count: int, *, views: int) -> NDArray[np.float32]:
        """Return about `count` rows of the first `views`, `[n, C]` or `[n, C + D]` float32, to try an encoding on."""
        ...

    def made_from(self) -> dict[str, Any]:
        """Return the facts that a new store records of its origin. It may take a while and is called once."""
        ...

    def require_same(self, store: KnowledgeStore) -> None:
        """Raise UserError or StoreUsageError if `store`, found in place of a new one, holds something else."""
        ...
