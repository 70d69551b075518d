"""The teacher as the source of a new store's rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import StoreConfig
from kcd_pipeline.errors import UserError
from kcd_pipeline.recipe_store import Wording, require_made_from, required_encoding
from kcd_pipeline.teacher_rows import RANGE_ADVICE, Extractor
from kcd_stores import KnowledgeStore, is_condensed

TRIAL_SPANS = 16  # at least, for neighbouring samples often belong to one class


class TeacherSource:
    """The rows of an extractor, and the store that its recipe asks for; see `StoreSource`."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self.settings: StoreConfig = extractor.config.store
        self.samples = len(extractor.dataset.train)
        self.classes = len(extractor.dataset.classes) if self.settings.logits else 0
        self.feature_columns = extractor.feature_columns
        self.wording = Wording(
            encoding_key="store.encoding",
            data=extractor.dataset.name,
            range_advice=RANGE_ADVICE,
            space_advice=(
                "Free some, set store.path to another disk, or store fewer views or a smaller store.encoding."
            ),
        )

    def trial_rows(self, count: int, *, views: int) -> NDArray[np.float32]:
        """Return about `count` rows in spans spread evenly over the data set, each of the next of the first `views`."""
        spans = max(views, TRIAL_SPANS)
        size = -(-min(count, self.samples) // spans)
        starts = (span * max(self.samples - size, 0) // (spans - 1) for span in range(spans))
        return np.concatenate(
            [
                self._extractor.rows(span % views, range(start, min(start + size, self.samples)))
                for span, start in enumerate(starts)
            ]
        )

    def made_from(self) -> dict[str, Any]:
        """Return the origin of the rows, with the teacher's accuracy on the test split."""
        origin = self._extractor.origin()
        origin["teacher"]["test_accuracy"] = self._extractor.test_accuracy()
        return origin

    def require_same(self, store: KnowledgeStore) -> None:
        """Raise UserError or StoreMismatchError if this teacher cannot add its rows to `store`."""
        if is_condensed(store):
            raise UserError(
                f"the store at {store.location} is the condensed set of a run, which `kcd-pipeline condense` makes and "
                f"no teacher can add to. Set store.path to another place, or give --overwrite to replace it."
            )
        require_made_from(store, self._extractor.origin() | {"encoding": required_encoding(self.settings)})
        if store.features is not None and not self.settings.features:
            raise UserError(
                f"the store at {store.location} holds features, but store.features is false: rows that are added to it "
                f"must have features too. Set store.features to true, or store.path to another store."
            )
