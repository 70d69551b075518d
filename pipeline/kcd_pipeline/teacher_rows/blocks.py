"""Making the blocks of a store: the contract of all makers, and the maker that works in this process.

kcd_pipeline.extraction.cluster_maker has the other one, which works by the workers of a cluster.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.recipe_store import refusals_as_failures
from kcd_pipeline.teacher_rows.progress import extraction_progress
from kcd_stores import KnowledgeWriter

RANGE_ADVICE = "Set another store.encoding (for features store.features_encoding), or a wider store.int8_range."


class BlockMaker(Protocol):
    """Makes blocks, shows its progress, and returns when all of them are recorded complete."""

    def make(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> None:
        """Make the blocks `missing`, (view, block) each."""
        ...


# (view, rows of a block, called with the size of each batch) -> the rows, [n, C] or [n, C + D]
MakeRows = Callable[[int, range, Callable[[int], None]], NDArray[np.float32]]


class LocalMaker:
    """Makes blocks in this process, in order; writes one in the background while it computes the next.

    Parameters
    ----------
    make_rows
        Computes the rows of a block.
    name
        Shown with the progress.
    view_lines
        True to log a line for each view where there is no terminal.
    """

    def __init__(self, make_rows: MakeRows, *, name: str = "extracting", view_lines: bool = True) -> None:
        self._make_rows, self._name, self._view_lines = make_rows, name, view_lines

    def make(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> None:
        """Make the blocks `missing`, (view, block) each. Raises what `steps` raises."""
        for _ in self.steps(writer, missing):
            pass

    def steps(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> Iterator[None]:
        """Make the blocks `missing`, (view, block) each, and yield after each one.

        Raises
        ------
        FailedError
            If a number in a row is not finite or does not fit the encoding.
        """
        layout = writer.store.layout
        writing: Future[None] | None = None
        shown = extraction_progress(layout, missing, name=self._name, view_lines=self._view_lines)
        with ThreadPoolExecutor(max_workers=1) as pool, shown as progress:
            for view, block in missing:
                started = time.perf_counter()
                progress.note(f"view {view + 1}/{layout.views}")
                rows = self._make_rows(view, layout.rows(block), progress.add_rows)
                if writing is not None:
                    writing.result()
                seconds = time.perf_counter() - started
                progress.finish_block(view, block)
                writing = pool.submit(_write, writer, view, block, rows, seconds)
                yield
            if writing is not None:
                writing.result()


def _write(writer: KnowledgeWriter, view: int, block: int, rows: NDArray[np.float32], seconds: float) -> None:
    with block_refusals_as_failures(writer, view, block):
        writer.write_block(view, block, rows, seconds=seconds)


def block_refusals_as_failures(writer: KnowledgeWriter, view: int, block: int) -> AbstractContextManager[None]:
    """Turn the ValueError of a store that does not take a block's rows into a FailedError that names the block."""
    failure = f"view {view}, block {block} could not be written to {writer.store.location}"
    return refusals_as_failures(failure, RANGE_ADVICE)
