"""Progress bars with rate and time left, on standard error, where a terminal or a log can show them."""

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

from kcd_stores.sizes import human_bytes

__all__ = ["console", "human_bytes", "human_seconds", "keep_quiet", "log_line", "progress_bar", "say"]

console = Console(stderr=True)


class RateColumn(ProgressColumn):
    """Units a second over the last seconds."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "it")
        return Text("" if speed is None else f"{speed:,.0f} {unit}/s", style="progress.data.speed")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar with what is done, the rate, and the time spent and left; silent where stderr is not a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=console.quiet or not console.is_terminal) as progress:
        yield progress


def keep_quiet() -> None:
    """Say and draw nothing from now on: another process speaks for this one."""
    console.quiet = True


def say(message: str) -> None:
    """One line for a person, on standard error."""
    console.print(message, highlight=False, markup=False, soft_wrap=True)


def log_line(message: str) -> None:
    """A line of progress where there is no terminal to draw a bar on, such as a log file."""
    if not console.is_terminal:
        say(message)


def human_seconds(seconds: float) -> str:
    """Such as `2 h 05 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
