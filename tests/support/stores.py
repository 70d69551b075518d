"""Small knowledge stores of given rows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_stores import KnowledgeStore, KnowledgeWriter, choose_layout, make_encoding


def store_of_one_view(path: Path, rows: NDArray[np.float32]) -> KnowledgeStore:
    """Make a store at `path` whose one view has the logits `rows[N, C]`, kept exactly."""
    samples, classes = rows.shape
    layout = choose_layout(views=1, samples=samples, classes=classes, row_bytes=4 * classes)
    made = KnowledgeWriter.create(path, layout=layout, encoding=make_encoding("float32"), made_from={})
    made.write_block(0, 0, rows, seconds=0)
    return made.store
