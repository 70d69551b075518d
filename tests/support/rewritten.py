"""A store whose rows were changed after they were made, and recorded as if they were the teacher's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores import KnowledgeWriter


def rewrite_rows(path: Path, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    """Write `change(rows)` in place of the rows `[N, columns]` of each view."""
    writer = KnowledgeWriter.open(path)
    layout = writer.store.layout
    for view in range(layout.views):
        rows = change(writer.store.read_view(view)).astype(np.float32)
        for block in range(layout.blocks):
            span = layout.rows(block)
            writer.write_block(view, block, rows[span.start : span.stop], seconds=0)
