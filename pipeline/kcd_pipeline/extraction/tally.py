"""How far an extraction is: one bar, or a line a view where there is no terminal, whoever makes the blocks."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import Progress, TaskID

from kcd_pipeline.progress import human_seconds, progress_bar, say_progress
from kcd_stores import Layout


class Tally:
    """Rows and blocks done of the blocks `missing`, (view, block) each."""

    def __init__(self, bar: Progress, task: TaskID, layout: Layout, missing: Sequence[tuple[int, int]]) -> None:
        self._bar, self._task, self._layout = bar, task, layout
        self._left = Counter(view for view, _ in missing)
        self._total = sum(len(layout.rows(block)) for _, block in missing)
        self._made, self._began = 0, time.perf_counter()

    def rows(self, count: int) -> None:
        """So many rows more are made, of blocks that may not be whole yet."""
        self._bar.advance(self._task, count)

    def note(self, text: str) -> None:
        """What stands behind the bar."""
        self._bar.update(self._task, note=text)

    def block(self, view: int, block: int) -> None:
        """A whole block is made; with the last one of its view, say so."""
        self._made += len(self._layout.rows(block))
        self._left[view] -= 1
        if not self._left[view] and self._made < self._total:
            rate = self._made / (time.perf_counter() - self._began)
            left = human_seconds((self._total - self._made) / rate)
            say_progress(f"view {view + 1}/{self._layout.views} done: {rate:,.0f} rows/s, {left} to go")


@contextmanager
def tally(layout: Layout, missing: Sequence[tuple[int, int]]) -> Iterator[Tally]:
    """A tally on a bar of its own."""
    total = sum(len(layout.rows(block)) for _, block in missing)
    with progress_bar() as bar:
        task = bar.add_task("extracting", total=total, note="", unit="rows")
        yield Tally(bar, task, layout, missing)
