"""A training run from its first or next epoch to its last: checkpoints, metrics, best weights."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from torch.utils.tensorboard import SummaryWriter

from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.models import save_weights
from kcd_pipeline.progress import human_seconds, log_line, progress_bar, say
from kcd_pipeline.runs.folder import RunFolder
from kcd_pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from kcd_pipeline.training.interrupts import interrupts_deferred
from kcd_pipeline.training.trainer import EpochResult, Part, Trainer


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What one epoch trains on: `samples` in `parts`, as their `view`; the parts can be gone through once.

    `perturbation`, where given, says which images are blended with others of the same view.
    """

    view: int
    samples: int
    parts: Iterable[Part]
    knowledge_rows: int
    perturbation: Perturbation | None = None


class Curriculum(Protocol):
    """Decides each epoch's lesson and learns from how it went. Teachers, plain and condensing students have one.

    Among several ranks each has its own, and all of them give the same lessons.
    """

    def start(self, epoch: int) -> None:
        """Get ready to go on from `epoch`."""
        ...

    def lesson(self, epoch: int) -> Lesson:
        """What `epoch` trains on."""
        ...

    def record(self, epoch: int, result: EpochResult) -> Mapping[str, int]:
        """Take note of `epoch`, durably, before it is checkpointed; what its line of metrics is to say besides."""
        ...


def run_epochs(
    folder: RunFolder,
    trainer: Trainer,
    curriculum: Curriculum,
    *,
    epochs: int,
    name: str,
    facts: dict[str, Any],
) -> float:
    """Train until `epochs` are done, going on from the newest checkpoint; the best test accuracy, 0..1.

    Order within an epoch: values and metrics first, then the checkpoint that makes them count. Whatever was
    written beyond the newest checkpoint is written again, the same, by the resumed run. Among several ranks all come
    here, and rank 0 alone writes.
    """
    ranks = trainer.ranks
    state = load_checkpoint(ranks, trainer.accelerator, folder.checkpoint) or {"epoch": -1, "best": -1.0}
    first = state["epoch"] + 1
    if ranks.is_first:
        folder.truncate_metrics(first)
    curriculum.start(first)
    if first:
        say(f"{name}: going on from epoch {first + 1} of {epochs}")
    with Record(folder, trainer, first=first, best=state["best"], facts=facts) as record, progress_bar() as bar:
        task = bar.add_task(name, total=None, note="", unit="img")
        for epoch in range(first, epochs):
            started = time.perf_counter()
            lesson = curriculum.lesson(epoch)
            bar.reset(task, total=lesson.samples, description=f"{name} epoch {epoch + 1}/{epochs}")
            result = trainer.train_epoch(
                epoch,
                view=lesson.view,
                samples=lesson.samples,
                parts=lesson.parts,
                perturbation=lesson.perturbation,
                on_batch=lambda size: bar.advance(task, size),
            )
            counted = curriculum.record(epoch, result)
            seconds = time.perf_counter() - started
            accuracy = trainer.test_accuracy()
            rows = lesson.knowledge_rows
            ranks.run_on_first(
                partial(record.add, epoch, result, accuracy, rows=rows, counted=counted, seconds=seconds)
            )
            done = f"test {accuracy:.2%}, loss {result.loss:.3f}"
            left = human_seconds((time.perf_counter() - started) * (epochs - epoch - 1))
            bar.update(task, note=f"{done}, about {left} to go")
            rate = len(result.order) / seconds
            log_line(f"{name} epoch {epoch + 1}/{epochs}: {done}, {rate:,.0f} img/s, {left} to go")
        if ranks.is_first:
            save_weights(folder.weights, trainer.model, {**facts, "epoch": epochs - 1})
        return record.best


class Record:
    """What a run's folder is told of each epoch: metrics, best weights, checkpoint; by rank 0 alone.

    A context: TensorBoard's file is open within it.
    """

    def __init__(self, folder: RunFolder, trainer: Trainer, *, first: int, best: float, facts: dict[str, Any]) -> None:
        self._folder, self._trainer, self._first, self._facts = folder, trainer, first, facts
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
        counted: Mapping[str, int],
        seconds: float,
    ) -> None:
        """Write down how `epoch` went, and then that it is done."""
        folder, trainer = self._folder, self._trainer
        if accuracy > self.best:
            self.best = accuracy
            facts = {**self._facts, "epoch": epoch, "test_accuracy": accuracy}
            save_weights(folder.best_weights, trainer.model, facts)
        line = {
            "epoch": epoch,
            "loss": result.loss,
            "train_accuracy": result.accuracy,
            "test_accuracy": accuracy,
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
        assert self._board is not None
        with interrupts_deferred():
            _to_board(self._board.add_scalar, line)
        save_checkpoint(trainer.accelerator, folder.checkpoint, epoch, {"best": self.best})


def _to_board(add_scalar: Callable[[str, float, int], None], line: dict[str, Any]) -> None:
    for key, value in line.items():
        if key != "epoch":
            add_scalar(key, value, line["epoch"])
