"""The run of a student as an object: its numbers, values and plans.

Letters: N samples, E epochs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask import delayed
from numpy.typing import NDArray

from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import (
    Predictions,
    RunFolder,
    open_plans,
    open_values,
    read_epochs,
    read_predictions,
    read_settings,
    require_run,
)
from kcd_stores import FolderStorage, Plan, open_storage

if TYPE_CHECKING:
    from torch import nn

    from kcd_pipeline.handover import Student

Place = str | os.PathLike[str]


@dataclass(frozen=True)
class Run:
    """A student's run, finished or not. What it holds is read from its folder when it is asked for, and checked.

    Attributes
    ----------
    path
        Its folder.
    """

    path: Path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, as plain data."""
        return read_settings(self._folder)

    @property
    def finished(self) -> bool:
        """True if its last epoch is done."""
        return self._folder.finished

    @property
    def summary(self) -> Mapping[str, Any]:
        """The summary of a finished run: its accuracy, cost, store and software."""
        if not self.finished:
            raise UserError(f"{self.path} is not finished: {len(self.metrics)} of its epochs are done. Go on with it.")
        return self._folder.read_summary()

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One mapping for each epoch that is done: loss, accuracies (0..1), samples, rows, seconds."""
        return read_epochs(self._folder)

    @property
    def test_accuracy(self) -> float:
        """Top-1 accuracy on the test set after the last epoch, 0..1."""
        return float(self.summary["test_accuracy"])

    def values(self, epoch: int = -1) -> NDArray[np.float64]:
        """Return V, the value of each sample after `epoch`, `[N]` float64; NaN: never visited.

        Parameters
        ----------
        epoch
            From 0; negative numbers count from the last epoch that is done.
        """
        return open_values(self._folder).read(self._epoch(epoch))[0]

    def frequencies(self, epoch: int = -1) -> NDArray[np.int32]:
        """Return F, how often each sample was trained on up to `epoch`, `[N]` int32."""
        return open_values(self._folder).read(self._epoch(epoch))[1]

    def all_values(self) -> da.Array:
        """Return the values after every epoch that is done, `[E, N]` float64, as a dask array that reads lazily."""
        values = open_values(self._folder)
        read = delayed(lambda epoch: values.read(epoch)[0])
        rows = [da.from_delayed(read(epoch), (values.samples,), np.float64) for epoch in range(len(self.metrics))]
        return da.stack(rows)

    def plans(self) -> list[Plan]:
        """Return the plan of each stage that was begun: samples kept, their partners and strengths."""
        return list(open_plans(self._folder).read_all())

    def predictions(self) -> Predictions | None:
        """Return the predictions of the test set; None for a run that kept none."""
        return read_predictions(self._folder.predictions, sha256=self.summary.get("predictions_sha256"))

    def load(self, *, model: "str | nn.Module | None" = None) -> "Student":
        """Return the trained student and its preprocessing; see `load_student`.

        Parameters
        ----------
        model
            A module of the student's class, which is filled with the weights, for a student that was passed as an
            object; or `package.module:callable`, for one that a recipe names so.
        """
        from kcd_pipeline.handover import load_student  # it loads torch

        return load_student(self.path, model=model)

    @property
    def _folder(self) -> RunFolder:
        return require_run(self.path)

    def _epoch(self, epoch: int) -> int:
        done = len(self.metrics)
        if not -done <= epoch < done:
            raise UserError(f"{self.path} has no epoch {epoch}: {done} are done, counted from 0.")
        return epoch % done

    def __repr__(self) -> str:
        config = self.config
        name = f"{config['student']['model']} by {config['distill']['method']}"
        if not self.finished:
            return f"Run({str(self.path)!r}: {name}, {len(self.metrics)} of {config['distill']['epochs']} epochs done)"
        return f"Run({str(self.path)!r}: {name}, {self.test_accuracy:.2%} on the test set)"


def open_run(run: Place | Run) -> Run:
    """Return the run at a folder, a path or a `file://` URL, finished or not.

    Raises
    ------
    UserError
        If there is none.
    """
    if isinstance(run, Run):
        return run
    storage = open_storage(os.fspath(run))
    if not isinstance(storage, FolderStorage):
        raise UserError(f"{storage} is not on this machine, and runs are folders: copy it here first.")
    folder = require_run(storage.path)
    if "student" not in read_settings(folder):
        raise UserError(f"{folder.path} is the training of a teacher, expected the run of a student.")
    return Run(folder.path)
