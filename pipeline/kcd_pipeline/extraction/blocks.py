"""Who makes the blocks of a store: this process, or (kcd_pipeline.extraction.crew) the workers of a cluster."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.errors import FailedError
from kcd_pipeline.extraction.extractor import Extractor
from kcd_pipeline.extraction.tally import tally
from kcd_stores import KnowledgeWriter, OutOfRangeError

RANGE_ADVICE = "Set another store.encoding (for features store.features_encoding), or a wider store.int8_range."


class Maker(Protocol):
    """Makes blocks, shows how far it is, and returns when all are recorded complete."""

    def make(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> None:
        """Make the blocks `missing`, (view, block) each."""
        ...


class Here:
    """This process makes blocks in order: one is written in the background while the next is computed."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor

    def make(self, writer: KnowledgeWriter, missing: Sequence[tuple[int, int]]) -> None:
        """Raises FailedError if a logit is not finite or does not fit the encoding."""
        layout = writer.store.layout
        writing: Future[None] | None = None
        with ThreadPoolExecutor(max_workers=1) as pool, tally(layout, missing) as done:
            for view, block in missing:
                started = time.perf_counter()
                done.note(f"view {view + 1}/{layout.views}")
                logits = self._extractor.logits(view, layout.rows(block), done.rows)
                if writing is not None:
                    writing.result()
                seconds = time.perf_counter() - started
                done.block(view, block)
                writing = pool.submit(_write, writer, view, block, logits, seconds)
            if writing is not None:
                writing.result()


def _write(writer: KnowledgeWriter, view: int, block: int, logits: NDArray[np.float32], seconds: float) -> None:
    with unwritten_is_failure(writer, view, block):
        writer.write_block(view, block, logits, seconds=seconds)


@contextmanager
def unwritten_is_failure(writer: KnowledgeWriter, view: int, block: int) -> Iterator[None]:
    """A block whose logits the store does not take (ValueError) is a FailedError that names it."""
    try:
        yield
    except ValueError as error:
        advice = f". {RANGE_ADVICE}" if isinstance(error, OutOfRangeError) else ""
        raise FailedError(
            f"view {view}, block {block} could not be written to {writer.store.location}: {error}{advice}"
        ) from error
