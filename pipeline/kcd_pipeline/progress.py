"""Messages and progress on standard error: bars on a terminal, lines in a log file, both in a notebook."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from kcd_pipeline.message_copies import copy_message
from kcd_pipeline.notebooks import NotebookProgress, in_notebook, spare_warnings
from kcd_pipeline.plain_text import shown

WIDE = 80  # characters that a bar with all its columns takes

IN_NOTEBOOK = in_notebook()
if IN_NOTEBOOK:
    spare_warnings()

# a notebook shows what comes on standard error as if it were wrong
console = Console(stderr=not IN_NOTEBOOK, force_jupyter=False)


class RateColumn(ProgressColumn):
    """The current rate, in units of the task's `unit` field a second."""

    def render(self, task: Task) -> Text:
        """Return the rate as text, empty before the first measurement."""
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "it")
        return Text("" if speed is None else f"{speed:,.0f} {unit}/s", style="progress.data.speed")


_shown: list[Progress] = []  # the display that is on the terminal, if any: there can be only one


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with counts, rate, time spent and time left; draw nothing in a log file.

    On a narrow terminal, where they would be cut to nothing, only the counts and the time left are shown. Within
    another bar its display is used, and the tasks that are added to it go when this one ends.
    """
    if _shown:
        outer = _shown[0]
        before = set(outer.task_ids)
        try:
            yield outer
        finally:
            for task in set(outer.task_ids) - before:
                outer.remove_task(task)
        return
    name, counts, left = TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn()
    columns: tuple[ProgressColumn, ...] = (name, counts, left)
    if IN_NOTEBOOK or console.width >= WIDE:
        note = TextColumn("{task.fields[note]}")
        columns = (name, BarColumn(), counts, RateColumn(), TimeElapsedColumn(), left, note)
    with _display(columns) as progress:
        _shown.append(progress)
        try:
            yield progress
        finally:
            _shown.remove(progress)


def _display(columns: tuple[ProgressColumn, ...]) -> Progress:
    if IN_NOTEBOOK and not console.quiet:
        return NotebookProgress(*columns)
    return Progress(*columns, console=console, disable=console.quiet or not console.is_terminal)


def keep_quiet() -> None:
    """Print and draw nothing from now on, because another process speaks for this one."""
    console.quiet = True


def say(message: str) -> None:
    """Print one line, whether or not there is a terminal."""
    console.print(shown(message), highlight=False, markup=False, soft_wrap=True)
    if not console.quiet:
        copy_message(shown(message))


def say_progress(message: str) -> None:
    """Print one line of progress where no bar is drawn, as in a log file."""
    if not (console.is_terminal or IN_NOTEBOOK):
        say(message)


def human_seconds(seconds: float) -> str:
    """Return a duration in whole seconds, minutes or hours: `39 s`, `12 min`, `2 h 05 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
