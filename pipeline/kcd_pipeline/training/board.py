"""TensorBoard's file of a run: its numbers by epoch, its settings, and the values of its samples."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from kcd_pipeline.training.interrupts import interrupts_deferred
from kcd_stores.scratch import pieces


class Board:
    """Writes for TensorBoard; a context manager, within which its file is open.

    Parameters
    ----------
    folder
        Where the file lies; a resumed run adds one of its own, and TensorBoard shows both as one.
    first
        The epoch (0-based) that this process begins with: what an interrupted one wrote of it and later is not shown.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self._folder, self._first = folder, first

    def __enter__(self) -> Self:
        self._writer = SummaryWriter(str(self._folder), purge_step=self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def show_settings(self, settings: Mapping[str, Any], measure: str) -> None:
        """Show the settings of the run, with dotted keys, as hyper-parameters beside the number called `measure`.

        They are written into the run's own file: torch's `add_hparams` would make a run of its own for them.
        """
        plain = {key: value if isinstance(value, bool | int | float) else str(value) for key, value in settings.items()}
        with interrupts_deferred():
            for summary in hparams(plain, {measure: None}):
                self._writer._get_file_writer().add_summary(summary)

    def show(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Show the numbers of an epoch (0-based) by their names."""
        with interrupts_deferred():
            for name, number in numbers.items():
                self._writer.add_scalar(name, number, epoch)

    def show_values(self, epoch: int, values: NDArray[np.float64]) -> None:
        """Show a histogram of the values `[N]` of all samples after an epoch; those never visited are NaN, left out.

        It has the bins that the writer has for `add_histogram`, which would look at all values at once.
        """
        known = (values[piece][np.isfinite(values[piece])] for piece in pieces(len(values)))
        found = [_counted(part, self._writer.default_bins) for part in known if len(part)]
        if found:
            counts = np.sum([part.counts for part in found], axis=0)
            first, last = np.flatnonzero(counts)[[0, -1]].tolist()
            with interrupts_deferred():
                self._writer.add_histogram_raw(
                    "value",
                    min=min(part.lowest for part in found),
                    max=max(part.highest for part in found),
                    num=sum(part.number for part in found),
                    sum=sum(part.sum for part in found),
                    sum_squares=sum(part.squares for part in found),
                    bucket_limits=self._writer.default_bins[first : last + 2],
                    bucket_counts=[0, *counts[first : last + 1].tolist()],
                    global_step=epoch,
                )


class _Counted(NamedTuple):
    """Counts of a histogram over some numbers, and their extremes and sums."""

    counts: NDArray[np.int64]
    lowest: float
    highest: float
    number: int
    sum: float
    squares: float


def _counted(numbers: NDArray[np.float64], bins: list[float]) -> _Counted:
    counts, _ = np.histogram(numbers, bins)
    sums = (float(numbers.sum()), float(numbers.dot(numbers)))
    return _Counted(counts, float(numbers.min()), float(numbers.max()), len(numbers), *sums)
