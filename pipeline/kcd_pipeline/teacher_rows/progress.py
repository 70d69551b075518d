"""The progress of an extraction, whoever makes the blocks: one bar, or without a terminal a line for each view."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import Progress, TaskID

from kcd_pipeline.progress import human_seconds, progress_bar, say_progress
from kcd_stores import Layout


class ExtractionProgress:
    """Counts the rows and blocks that are done, of the blocks `missing` (view, block) of a store of that layout.

    With `view_lines`, a line is logged for each view that is done, except the last.
    """

    def __init__(
        self, bar: Progress, task: TaskID, layout: Layout, missing: Sequence[tuple[int, int]], *, view_lines: bool
    ) -> None:
        self._bar, self._task, self._layout, self._view_lines = bar, task, layout, view_lines
        self._blocks_left = Counter(view for view, _ in missing)
        self._rows_total = _rows_of(layout, missing)
        self._rows_done, self._started = 0, time.perf_counter()

    def add_rows(self, count: int) -> None:
        """Advance the bar by `count` rows, of blocks that may not be whole yet."""
        self._bar.advance(self._task, count)

    def note(self, text: str) -> None:
        """Show `text` behind the bar."""
        self._bar.update(self._task, note=text)

    def finish_block(self, view: int, block: int) -> None:
        """Count a whole block; log a line with the last one of its view, if lines are wanted."""
        self._rows_done += len(self._layout.rows(block))
        self._blocks_left[view] -= 1
        if self._view_lines and not self._blocks_left[view] and self._rows_done < self._rows_total:
            rate = self._rows_done / (time.perf_counter() - self._started)
            seconds_left = human_seconds((self._rows_total - self._rows_done) / rate)
            say_progress(f"view {view + 1}/{self._layout.views} done: {rate:,.0f} rows/s, {seconds_left} to go")


@contextmanager
def extraction_progress(
    layout: Layout, missing: Sequence[tuple[int, int]], *, name: str = "extracting", view_lines: bool = True
) -> Iterator[ExtractionProgress]:
    """Show a bar of its own, called `name`, for the blocks `missing` while the context lasts."""
    with progress_bar() as bar:
        task = bar.add_task(name, total=_rows_of(layout, missing), note="", unit="rows")
        yield ExtractionProgress(bar, task, layout, missing, view_lines=view_lines)


def _rows_of(layout: Layout, blocks: Sequence[tuple[int, int]]) -> int:
    return sum(len(layout.rows(block)) for _, block in blocks)
