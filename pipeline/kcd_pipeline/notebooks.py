"""Progress in a notebook: one output of the cell that runs, which is drawn over, so that nothing floods the notebook.

What is drawn is plain text, which every front end shows and every program that executes notebooks records; rich's own
support would need ipywidgets, and leaves nothing behind where they are missing.
"""

import io
import time
import warnings
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID

SECONDS_BETWEEN = 0.5  # two drawings: a front end keeps up with that, however fast the batches are
WIDTH = 110  # characters


def in_notebook() -> bool:
    """Return True if this process is the kernel of a notebook."""
    return Console().is_jupyter


def spare_warnings() -> None:
    """Silence the warning that tqdm's widgets are missing: libraries import tqdm, and nothing here draws by it."""
    warnings.filterwarnings("ignore", "IProgress not found")


class NotebookProgress(Progress):
    """Bars in an output of the current cell; the last drawing stays when they end."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._drawn_at = 0.0
        self._handle: Any = None
        super().__init__(
            *columns,
            console=Console(file=io.StringIO(), width=WIDTH, color_system=None, force_jupyter=False),
            disable=True,
        )

    def start(self) -> None:
        """Make the output."""
        from IPython.display import display  # there is no notebook without it

        self._handle = display(self._drawing(), raw=True, display_id=True)

    def stop(self) -> None:
        """Draw the bars as they are at the end."""
        if self._handle is not None:
            self._handle.update(self._drawing(), raw=True)

    def refresh(self) -> None:
        """Draw the bars again, unless that was done a moment ago."""
        if self._handle is not None and time.monotonic() - self._drawn_at > SECONDS_BETWEEN:
            self._handle.update(self._drawing(), raw=True)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self.refresh()

    def update(self, task_id: TaskID, **fields: Any) -> None:
        super().update(task_id, **fields)
        self.refresh()

    def _drawing(self) -> dict[str, str]:
        self._drawn_at = time.monotonic()
        with self.console.capture() as drawn:
            self.console.print(self.get_renderable())
        return {"text/plain": drawn.get().rstrip()}
