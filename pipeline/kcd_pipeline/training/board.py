"""TensorBoard's file of a run: its numbers by epoch, its settings, and the values of its samples."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from kcd_pipeline.training.interrupts import interrupts_deferred


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
        """Show a histogram of the values `[N]` of all samples after an epoch; those never visited are NaN, left out."""
        known = values[np.isfinite(values)]
        if len(known):
            with interrupts_deferred():
                self._writer.add_histogram("value", known, epoch)
