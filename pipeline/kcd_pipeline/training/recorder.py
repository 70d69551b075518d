"""The record of a training run in its folder: metrics, best and last weights, checkpoints."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from torch.utils.tensorboard import SummaryWriter

from kcd_pipeline.models import save_weights
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.checkpoint import save_checkpoint
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.interrupts import interrupts_deferred
from kcd_pipeline.training.results import Results
from kcd_pipeline.training.trainer import Trainer


class RunRecorder:
    """Writes to a run's folder how each epoch went. Only rank 0 may call its methods.

    It is a context manager: TensorBoard's file is open within it, on rank 0.

    Parameters
    ----------
    first
        The epoch (0-based) that this process begins with.
    best
        Best accuracy before it, by which the best epoch is chosen, 0..1; -1 before the first epoch.
    facts
        Recorded in the weights.
    digests
        Returns the digests of the plans and values of so many epochs, for the record of the run.
    """

    def __init__(
        self,
        folder: RunFolder,
        trainer: Trainer,
        *,
        first: int,
        best: float,
        facts: dict[str, Any],
        digests: Callable[[int], Mapping[str, list[str]]],
    ) -> None:
        self._folder, self._trainer, self._first, self._facts = folder, trainer, first, facts
        self._digests = digests
        self.best = best
        self._board: SummaryWriter | None = None

    def __enter__(self) -> Self:
        if self._trainer.ranks.is_first:
            self._board = SummaryWriter(str(self._folder.tensorboard), purge_step=self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def add(
        self,
        epoch: int,
        result: EpochResult,
        accuracy: float,
        *,
        rows: int,
        counted: Mapping[str, float],
        seconds: float,
    ) -> None:
        """Write the metrics of `epoch` and its weights if they are the best, then the checkpoint that completes it.

        Parameters
        ----------
        accuracy
            On the validation images, or the test split where there are none, 0..1.
        rows
            Knowledge rows that were used.
        counted
            More numbers for its line of metrics.
        seconds
            Time of the epoch without evaluation.
        """
        folder, trainer = self._folder, self._trainer
        if accuracy > self.best:
            self.best = accuracy
            facts = {**self._facts, "epoch": epoch, trainer.accuracy_key: accuracy}
            save_weights(folder.best_weights, trainer.model, facts)
        line = {
            "epoch": epoch,
            "loss": result.loss,
            "train_accuracy": result.accuracy,
            trainer.accuracy_key: accuracy,
            "samples": len(result.order),
            "rows": rows,
            "steps": result.steps,
            **counted,
            "kept_fraction": len(result.order) / trainer.samples,
            "seconds": seconds,
            "rows_per_second": len(result.order) / seconds,
            "ranks": trainer.ranks.share.ranks,
        }
        folder.append_metrics(line)
        self._draw(line)
        record = folder.record(epoch + 1, **self._digests(epoch + 1))
        save_checkpoint(trainer.accelerator, folder, epoch, best=self.best, record=record)

    def _draw(self, line: dict[str, Any]) -> None:
        """Give TensorBoard the numbers of a line of metrics."""
        assert self._board is not None
        with interrupts_deferred():
            for key, value in line.items():
                if key != "epoch":
                    self._board.add_scalar(key, value, line["epoch"])

    def finish(self, results: Results) -> None:
        """Write the weights after the last epoch, with the results of the training in their header."""
        told = {"epoch": results.epochs - 1, "test_accuracy": results.test_accuracy}
        if "validation_accuracy" in results.validation:
            told["validation_accuracy"] = results.validation["validation_accuracy"]
        save_weights(self._folder.weights, self._trainer.model, {**self._facts, **told})
