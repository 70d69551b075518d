"""The record of a training run in its folder: metrics, best and last weights, checkpoints."""

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.models import save_weights
from kcd_pipeline.runs import AVERAGED, OWN_METRICS, RunFolder
from kcd_pipeline.training.board import Board
from kcd_pipeline.training.checkpoint import save_checkpoint
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.evaluation import Measures
from kcd_pipeline.training.results import Results
from kcd_pipeline.training.trackers import Trackers
from kcd_pipeline.training.trainer import Trainer
from kcd_stores.knowledge import flatten


class RunRecorder:
    """Writes to a run's folder how each epoch went. Only rank 0 may call its methods.

    It is a context manager: TensorBoard's file and the runs of trackers are open within it, on rank 0.

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
    beside
        Numbers that TensorBoard and trackers are shown beside those of every epoch, such as the teacher's accuracy.

    Attributes
    ----------
    best
        Best accuracy up to now.
    scratch
        Place of what a rank, any of them, notes in an epoch.
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
        beside: Mapping[str, float],
    ) -> None:
        self._folder, self._trainer, self._first, self._facts = folder, trainer, first, facts
        self._digests, self._beside = digests, beside
        self.best, self.scratch = best, folder.scratch()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._trainer.ranks.is_first:
            settings = flatten(self._folder.read_config())
            with ExitStack() as opened:
                self._board = opened.enter_context(Board(self._folder.tensorboard, self._first))
                self._board.show_settings(settings, self._trainer.accuracy_key)
                self._trackers = opened.enter_context(Trackers(self._trainer.trackers, self._folder, settings))
                self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(
        self,
        epoch: int,
        result: EpochResult,
        measures: Measures,
        *,
        rows: int,
        counted: Mapping[str, float],
        seconds: float,
        values: NDArray[np.float64] | None,
    ) -> None:
        """Write the metrics of `epoch` and its weights if they are the best, then the checkpoint that completes it.

        Parameters
        ----------
        measures
            On the validation images, or the test split where there are none.
        rows
            Knowledge rows that were used.
        counted
            More numbers for its line of metrics.
        seconds
            Time of the epoch without evaluation.
        values
            `[N]`, of all samples after the epoch, for TensorBoard's histogram; None without any.
        """
        folder, trainer, accuracy = self._folder, self._trainer, measures.accuracy
        if accuracy > self.best:
            self.best = accuracy
            facts = {**self._facts, "epoch": epoch, trainer.accuracy_key: accuracy}
            save_weights(folder.best_weights, trainer.model, facts)
        line = {
            "epoch": epoch,
            "loss": result.loss,
            "train_accuracy": result.accuracy,
            trainer.accuracy_key: accuracy,
            **({} if measures.averaged is None else {f"{AVERAGED}{trainer.accuracy_key}": measures.averaged}),
            "samples": len(result.order),
            "rows": rows,
            "steps": result.steps,
            **counted,
            **({OWN_METRICS: measures.metrics} if measures.metrics else {}),
            "kept_fraction": len(result.order) / trainer.samples,
            "seconds": seconds,
            "rows_per_second": len(result.order) / seconds,
            "ranks": trainer.ranks.share.ranks,
        }
        folder.append_metrics(line)
        self._show(epoch, line, result)
        if values is not None:
            self._board.show_values(epoch, values)
        record = folder.record(epoch + 1, **self._digests(epoch + 1))
        save_checkpoint(trainer.accelerator, folder, epoch, best=self.best, record=record)

    def _show(self, epoch: int, line: Mapping[str, Any], result: EpochResult) -> None:
        """Show TensorBoard and trackers the line of metrics of an epoch, and what else is known of it."""
        terms = {f"loss_{name}": term for name, term in result.terms.items()}
        own = {_shown(name): number for name, number in line.get(OWN_METRICS, {}).items() if number is not None}
        numbers = {key: value for key, value in line.items() if key not in ("epoch", OWN_METRICS)}
        numbers |= {"lr": self._trainer.lr, **terms, **own, **self._beside}
        self._board.show(epoch, numbers)
        self._trackers.log(epoch, numbers)

    def finish(self, results: Results) -> None:
        """Write the weights after the last epoch and their average, with their results in their headers."""
        if results.validation:  # otherwise every epoch has shown its test accuracy
            looked = {"test_accuracy": results.test_accuracy, "best_test_accuracy": results.best_test_accuracy}
            looked |= {key: number for key, number in results.averaged.items() if key == f"{AVERAGED}test_accuracy"}
            self._board.show(results.epochs - 1, looked)
            self._trackers.log(results.epochs - 1, looked)
        model, average = self._trainer.model, self._trainer.average
        save_weights(self._folder.weights, model, {**self._facts, **results.told()})
        if average is not None:
            with average.in_model():
                facts = {**self._facts, "ema": average.decay, **results.told_of_average()}
                save_weights(self._folder.averaged_weights, model, facts)


def _shown(name: str) -> str:
    """Return the name of a metric of the user's own in characters that every tracker takes."""
    return re.sub(r"[^\w. -]+", "_", name.replace(":", "."), flags=re.ASCII)
