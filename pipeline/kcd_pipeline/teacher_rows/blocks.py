"""Making the blocks of a store: the contract of all makers, and the maker that works in this process.

kcd_pipeline.extraction.cluster_maker has the other one, which works by the workers of a cluster.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.recipe_store import refusals_as_failures
from kcd_pipeline.teacher_rows.forward import RowPieces, Span
from kcd_pipeline.teacher_rows.progress import extraction_progress
from kcd_stores import KnowledgeStore, KnowledgeWriter, Layout

RANGE_ADVICE = "Set another store.encoding (for features store.features_encoding), or a wider store.int8_range."
# of blocks whose images are made in one go. The images of the first batch are waited for, so the more rows the better;
# but each of them is listed in memory
PASS_ROWS = 1 << 17


class BlockMaker(Protocol):
    """Makes blocks, shows its progress, and returns when all of them are recorded complete."""

    def make(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> None:
        """Make the blocks `missing`, (view, block) each."""
        ...


# (view and samples of each of some blocks, called with the size of each batch) -> their rows in pieces, [n, C] or
# [n, C + D] each, none of which is of two blocks
MakeRows = Callable[[Sequence[Span], Callable[[int], None]], RowPieces]


class BegunBlock(Protocol):
    """Takes the rows of one block, piece by piece; see `EncodedBlock`."""

    @property
    def view(self) -> int: ...

    @property
    def block(self) -> int: ...

    @property
    def samples(self) -> range: ...

    def add(self, rows: NDArray[np.float32]) -> None: ...


B = TypeVar("B", bound=BegunBlock)


class BlockWriter(Protocol[B]):
    """Begins blocks and writes those that have all of their rows; see `KnowledgeWriter`."""

    @property
    def store(self) -> KnowledgeStore: ...

    def begin_block(self, view: int, block: int) -> B: ...

    def finish_block(self, encoded: B, *, seconds: float) -> None: ...


class LocalMaker:
    """Makes blocks in this process, in order; encodes and writes in the background while it computes the next rows.

    Of the float32 rows, two pieces are in memory at most: one being computed, and one being encoded.

    Parameters
    ----------
    make_rows
        Computes the rows of blocks of one view.
    name
        Shown with the progress.
    view_lines
        True to log a line for each view where there is no terminal.
    """

    def __init__(self, make_rows: MakeRows, *, name: str = "extracting", view_lines: bool = True) -> None:
        self._make_rows, self._name, self._view_lines = make_rows, name, view_lines

    def make(self, writer: BlockWriter[Any], missing: Sequence[tuple[int, int]]) -> None:
        """Make the blocks `missing`, (view, block) each. Raises what `steps` raises."""
        for _ in self.steps(writer, missing):
            pass

    def steps(self, writer: BlockWriter[Any], missing: Sequence[tuple[int, int]]) -> Iterator[None]:
        """Make the blocks `missing`, (view, block) each, and yield after each one.

        Raises
        ------
        FailedError
            If a number in a row is not finite or does not fit the encoding.
        """
        layout = writer.store.layout
        behind: list[Future[None]] = []  # what is encoded and written in the background
        shown = extraction_progress(layout, missing, name=self._name, view_lines=self._view_lines)
        with ThreadPoolExecutor(max_workers=1) as pool, shown as progress:
            for blocks in _passes(layout, missing):
                spans = [(view, layout.rows(block)) for view, block in blocks]
                with closing(self._make_rows(spans, progress.add_rows)) as made:
                    for view, block in blocks:
                        progress.note(f"view {view + 1}/{layout.views}")
                        started = time.perf_counter()
                        encoded = writer.begin_block(view, block)
                        for rows in _rows_of_next_block(made, len(encoded.samples)):
                            _wait_for(behind)
                            behind.append(pool.submit(_encode, writer, encoded, rows))
                        seconds = time.perf_counter() - started
                        progress.finish_block(view, block)
                        behind.append(pool.submit(_write, writer, encoded, seconds))
                        yield
            _wait_for(behind)


def _passes(layout: Layout, missing: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Yield runs of `missing` blocks, of about PASS_ROWS rows each."""
    length = max(PASS_ROWS // layout.block_rows, 1)
    for start in range(0, len(missing), length):
        yield missing[start : start + length]


def _rows_of_next_block(made: Iterator[NDArray[np.float32]], count: int) -> Iterator[NDArray[np.float32]]:
    """Yield pieces of `made` until they have `count` rows."""
    while count:
        rows = next(made)
        count -= len(rows)
        yield rows


def _wait_for(behind: list[Future[None]]) -> None:
    while behind:
        behind.pop(0).result()


def _encode(writer: BlockWriter[B], encoded: B, rows: NDArray[np.float32]) -> None:
    with block_refusals_as_failures(writer, encoded.view, encoded.block):
        encoded.add(rows)


def _write(writer: BlockWriter[B], encoded: B, seconds: float) -> None:
    with block_refusals_as_failures(writer, encoded.view, encoded.block):
        writer.finish_block(encoded, seconds=seconds)


def block_refusals_as_failures(writer: BlockWriter[Any], view: int, block: int) -> AbstractContextManager[None]:
    """Turn the ValueError of a store that does not take a block's rows into a FailedError that names the block."""
    failure = f"view {view}, block {block} could not be written to {writer.store.location}"
    return refusals_as_failures(failure, RANGE_ADVICE)
